/* The two halves of the exact resize: what each pixel is made of, and the passes that make it. */

#ifndef FOVEA_RESIZE_H
#define FOVEA_RESIZE_H

#include <stddef.h>
#include <stdint.h>

#define PLACES 22
/* Binary places of a weight: of 32 bits, without 8 for the sample and 2 for sums beyond it. */
#define HALF (1 << (PLACES - 1))

enum { DONE, NO_MEMORY, NOT_DONE_HERE };

/* What the pixels of a result are made of, along one axis. */
typedef struct {
    int size;         /* pixels of the result */
    int most;         /* the largest of `counts` */
    int *firsts;      /* [size]: the first pixel of the image that counts */
    int *counts;      /* [size]: how many do */
    int32_t *weights; /* [size][most], in units of 2^-PLACES */
} Axis;

/* An image is cut to `size` x `size`. Its rows lie one after the other. */
typedef struct {
    const uint8_t *pixels; /* [rows][width][4] */
    int width, rows, size;
    Axis across, down;
    uint8_t *result; /* [size][size][3] */
} Task;

/* Of an axis of `length` pixels, those from `low` to `high` become `size`; 0 <= low <= high <= length.
   `filter` is 0 bilinear, 1 bicubic, 2 Lanczos. What it made is to be freed whatever it returns. */
int axis_make(Axis *axis, int filter, int length, float low, float high, int size);
void axis_free(Axis *axis);

/* With `plain`, without vectors. */
int task_run(const Task *task, int plain);

/* A task with what lies between its passes. */
typedef struct {
    const Task *task;
    int top, bottom; /* the rows that the vertical pass needs */
    size_t stride;   /* of the rows below and of the result's, in bytes */
    uint8_t *narrow; /* [bottom - top][size][3], and a byte more */
} Passes;

void passes_plain(const Passes *passes);

/* The same, where the processor has vectors that are made use of; else the plain ones. */
int passes_by_vectors(const Passes *passes);

/* `count` rows that are `stride` bytes apart -> one of `bytes` samples. */
void down_plain(const uint8_t *rows, size_t stride, const int32_t *weights, int count, uint8_t *result,
                size_t bytes);

static inline const uint8_t *row_before(const Passes *passes, int y) {
    return passes->task->pixels + (size_t)y * (size_t)passes->task->width * 4;
}

static inline uint8_t *row_between(const Passes *passes, int y) {
    return passes->narrow + (size_t)(y - passes->top) * passes->stride;
}

static inline const int32_t *weights_of(const Axis *axis, int i) {
    return axis->weights + (size_t)i * (size_t)axis->most;
}

#endif
