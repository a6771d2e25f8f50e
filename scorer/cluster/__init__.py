"""What the driver asks of Kubernetes. The only package that knows its client.

Other rooms use `driver.drive`.
"""
