"""What decodes and computes batches: in this process, or in processes of their own."""
