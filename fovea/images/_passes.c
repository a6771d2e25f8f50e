/* The passes: the horizontal one first, rounded to 8 bits, then the vertical one. A sample is the sum of
   samples by their weights, rounded and clamped. */

#include "_resize.h"

#include <stdlib.h>

static uint8_t clamped(int32_t sum) {
    sum >>= PLACES;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* A row of pixels of four bytes -> one of axis->size pixels of three. */
static void across_plain(const uint8_t *row, const Axis *axis, uint8_t *result) {
    for (int x = 0; x < axis->size; x++) {
        const uint8_t *pixel = row + 4 * (size_t)axis->firsts[x];
        const int32_t *weights = axis->weights + (size_t)x * axis->most;
        int32_t red = HALF, green = HALF, blue = HALF;
        for (int i = 0; i < axis->counts[x]; i++, pixel += 4) {
            red += pixel[0] * weights[i];
            green += pixel[1] * weights[i];
            blue += pixel[2] * weights[i];
        }
        *result++ = clamped(red);
        *result++ = clamped(green);
        *result++ = clamped(blue);
    }
}

/* `count` rows that are `stride` bytes apart -> one of `bytes` samples. */
void down_plain(const uint8_t *rows, size_t stride, const int32_t *weights, int count, uint8_t *result,
                size_t bytes) {
    for (size_t at = 0; at < bytes; at++) {
        int32_t sum = HALF;
        for (int i = 0; i < count; i++)
            sum += rows[stride * i + at] * weights[i];
        result[at] = clamped(sum);
    }
}

void passes_plain(const Passes *passes) {
    const Axis *down = &passes->task->down;
    for (int y = passes->top; y < passes->bottom; y++)
        across_plain(row_before(passes, y), &passes->task->across, row_between(passes, y));
    for (int y = 0; y < down->size; y++)
        down_plain(row_between(passes, down->firsts[y]), passes->stride, weights_of(down, y), down->counts[y],
                   passes->task->result + (size_t)y * passes->stride, passes->stride);
}

int task_run(const Task *task, int plain) {
    const Axis *down = &task->down;
    Passes passes = {task, task->rows, 0, (size_t)task->size * 3, NULL};
    for (int y = 0; y < task->size; y++) {
        int first = down->firsts[y], end = first + down->counts[y];
        passes.top = first < passes.top ? first : passes.top;
        passes.bottom = end > passes.bottom ? end : passes.bottom;
    }
    /* A byte more, that `across_row` writes beyond its last row. */
    passes.narrow = malloc((size_t)(passes.bottom - passes.top) * passes.stride + 1);
    if (!passes.narrow)
        return NO_MEMORY;
    int status = DONE;
    if (plain)
        passes_plain(&passes);
    else
        status = passes_by_vectors(&passes);
    free(passes.narrow);
    return status;
}
