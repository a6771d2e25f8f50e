/* What each pixel of a result is made of, with the weights that Pillow takes for samples of 8 bits: found in
   double precision, made to add up to 1, rounded to PLACES binary places. */

#include "_resize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_WEIGHTS (1 << 24)

/* Filters: the weight of a pixel by its distance from the centre, in pixels of the result or, where those are
   smaller, of the image. */

static double bilinear(double x) {
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

/* Keys, "Cubic convolution interpolation for digital image processing" (1981), with a = -1/2. */
static double bicubic(double x) {
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

static double sinc(double x) {
    if (x == 0.0)
        return 1.0;
    x *= 3.14159265358979323846;
    return sin(x) / x;
}

static double lanczos(double x) {
    return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0;
}

static const struct {
    double (*weigh)(double distance);
    double reach; /* to either side */
} FILTERS[] = {{bilinear, 1.0}, {bicubic, 2.0}, {lanczos, 3.0}};

void axis_free(Axis *axis) {
    free(axis->firsts);
    free(axis->counts);
    free(axis->weights);
}

/* Whether it succeeded. */
static int allocate(Axis *axis, int size, int most) {
    axis->size = size;
    axis->most = most;
    axis->firsts = calloc((size_t)size, sizeof(int));
    axis->counts = calloc((size_t)size, sizeof(int));
    axis->weights = calloc((size_t)size * (size_t)most, sizeof(int32_t));
    return axis->firsts && axis->counts && axis->weights;
}

static int bounded(double value, int low, int high) {
    return value < low ? low : value > high ? high : (int)value;
}

/* Whether no sum of samples can leave 32 bits with them. */
static int settle(double *values, int count, int32_t *weights) {
    double sum = 0.0, largest = HALF;
    for (int i = 0; i < count; i++)
        sum += values[i];
    for (int i = 0; i < count; i++) {
        double weight = (sum != 0.0 ? values[i] / sum : values[i]);
        largest += (fabs(weight) * (1 << PLACES) + 1) * 255;
        if (!(largest < INT32_MAX))
            return 0;
        weights[i] = (int32_t)(weight < 0 ? -0.5 + weight * (1 << PLACES) : 0.5 + weight * (1 << PLACES));
    }
    return 1;
}

/* What could count is more than what does: the weights are put closer together. */
static void tighten(Axis *axis) {
    int most = 1;
    for (int i = 0; i < axis->size; i++)
        most = axis->counts[i] > most ? axis->counts[i] : most;
    for (int i = 1; i < axis->size; i++)
        memmove(axis->weights + (size_t)i * most, axis->weights + (size_t)i * axis->most,
                (size_t)most * sizeof(int32_t));
    axis->most = most;
}

int axis_make(Axis *axis, int filter, int length, float low, float high, int size) {
    double scale = (double)(high - low) / size, stretch = scale < 1.0 ? 1.0 : scale;
    double reach = FILTERS[filter].reach * stretch, shrink = 1.0 / stretch, most = ceil(reach) * 2 + 1;
    if (!(most * size <= MOST_WEIGHTS))
        return NOT_DONE_HERE;
    double *values = malloc((size_t)most * sizeof(double));
    int status = values && allocate(axis, size, (int)most) ? DONE : NO_MEMORY;
    for (int i = 0; i < size && status == DONE; i++) {
        double centre = low + (i + 0.5) * scale;
        int first = bounded(centre - reach + 0.5, 0, length), end = bounded(centre + reach + 0.5, first, length);
        int count = axis->counts[i] = end - first < axis->most ? end - first : axis->most;
        axis->firsts[i] = first;
        for (int j = 0; j < count; j++)
            values[j] = FILTERS[filter].weigh((j + first - centre + 0.5) * shrink);
        if (!settle(values, count, axis->weights + (size_t)i * axis->most))
            status = NOT_DONE_HERE;
    }
    free(values);
    if (status == DONE)
        tighten(axis);
    return status;
}
