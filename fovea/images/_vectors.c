/* The passes by vectors of eight: AVX2, where the processor has it, and NEON, which every 64-bit ARM has. */

#include "_resize.h"

#include <stdlib.h>
#include <string.h>

#define LANES 8

#if defined(__GNUC__) && defined(__x86_64__)
#include <immintrin.h>
#define HAS_VECTORS __builtin_cpu_supports("avx2")
#define VECTORS __attribute__((target("avx2")))

typedef __m256i Eight;

VECTORS static inline Eight same(int32_t value) { return _mm256_set1_epi32(value); }

VECTORS static inline Eight first_four(int32_t value) {
    return _mm256_setr_epi32(value, value, value, value, 0, 0, 0, 0);
}

VECTORS static inline Eight loaded(const int32_t *values) { return _mm256_loadu_si256((const __m256i *)values); }

VECTORS static inline Eight widened(const uint8_t *samples) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)samples));
}

VECTORS static inline Eight add_product(Eight sum, Eight one, Eight other) {
    return _mm256_add_epi32(sum, _mm256_mullo_epi32(one, other));
}

VECTORS static inline __m128i clamped(__m128i low, __m128i high) {
    __m128i words = _mm_packs_epi32(_mm_srai_epi32(low, PLACES), _mm_srai_epi32(high, PLACES));
    return _mm_packus_epi16(words, words);
}

VECTORS static inline void store(uint8_t *samples, Eight sums) {
    __m128i bytes = clamped(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    _mm_storel_epi64((__m128i *)samples, bytes);
}

VECTORS static inline void store_halves(uint8_t *samples, Eight sums) {
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    int32_t bytes = _mm_cvtsi128_si32(clamped(sum, sum));
    memcpy(samples, &bytes, sizeof bytes);
}

#elif defined(__GNUC__) && defined(__aarch64__)
#include <arm_neon.h>
#define HAS_VECTORS 1
#define VECTORS

typedef struct {
    int32x4_t low, high;
} Eight;

static inline Eight same(int32_t value) { return (Eight){vdupq_n_s32(value), vdupq_n_s32(value)}; }

static inline Eight first_four(int32_t value) { return (Eight){vdupq_n_s32(value), vdupq_n_s32(0)}; }

static inline Eight loaded(const int32_t *values) { return (Eight){vld1q_s32(values), vld1q_s32(values + 4)}; }

static inline Eight widened(const uint8_t *samples) {
    int16x8_t words = vreinterpretq_s16_u16(vmovl_u8(vld1_u8(samples)));
    return (Eight){vmovl_s16(vget_low_s16(words)), vmovl_s16(vget_high_s16(words))};
}

static inline Eight add_product(Eight sum, Eight one, Eight other) {
    return (Eight){vmlaq_s32(sum.low, one.low, other.low), vmlaq_s32(sum.high, one.high, other.high)};
}

static inline uint8x8_t clamped(int32x4_t low, int32x4_t high) {
    uint16x4_t words[] = {vqmovun_s32(vshrq_n_s32(low, PLACES)), vqmovun_s32(vshrq_n_s32(high, PLACES))};
    return vqmovn_u16(vcombine_u16(words[0], words[1]));
}

static inline void store(uint8_t *samples, Eight sums) { vst1_u8(samples, clamped(sums.low, sums.high)); }

static inline void store_halves(uint8_t *samples, Eight sums) {
    int32x4_t sum = vaddq_s32(sums.low, sums.high);
    uint32_t bytes = vget_lane_u32(vreinterpret_u32_u8(clamped(sum, sum)), 0);
    memcpy(samples, &bytes, sizeof bytes);
}
#endif

#ifdef HAS_VECTORS
/* A row of pixels of four bytes -> one of `size` pixels of three, and a byte more. Each is made of 2 * `pairs`
   pixels; weights: [size][pairs][8], each weight four times in a row. */
VECTORS static void across_row(const uint8_t *row, const int *firsts, const int32_t *weights, int size, int pairs,
                               uint8_t *result) {
    for (int x = 0; x < size; x++, result += 3) {
        const uint8_t *pixels = row + 4 * (size_t)firsts[x];
        Eight sums = first_four(HALF);
        for (int i = 0; i < pairs; i++, pixels += 8, weights += LANES)
            sums = add_product(sums, widened(pixels), loaded(weights));
        store_halves(result, sums); /* the fourth byte is written over by the next pixel */
    }
}

VECTORS static void down_row(const uint8_t *rows, size_t stride, const int32_t *weights, int count,
                             uint8_t *result, size_t bytes) {
    size_t at = 0;
    for (; at + 4 * LANES <= bytes; at += 4 * LANES) {
        const uint8_t *samples = rows + at;
        Eight a = same(HALF), b = a, c = a, d = a;
        for (int i = 0; i < count; i++, samples += stride) {
            Eight weight = same(weights[i]);
            a = add_product(a, widened(samples), weight);
            b = add_product(b, widened(samples + LANES), weight);
            c = add_product(c, widened(samples + 2 * LANES), weight);
            d = add_product(d, widened(samples + 3 * LANES), weight);
        }
        store(result + at, a);
        store(result + at + LANES, b);
        store(result + at + 2 * LANES, c);
        store(result + at + 3 * LANES, d);
    }
    down_plain(rows + at, stride, weights, count, result + at, bytes - at);
}

VECTORS static void run(const Passes *passes, int pairs, const int *firsts, const int32_t *weights) {
    const Axis *down = &passes->task->down;
    for (int y = passes->top; y < passes->bottom; y++)
        across_row(row_before(passes, y), firsts, weights, down->size, pairs, row_between(passes, y));
    for (int y = 0; y < down->size; y++)
        down_row(row_between(passes, down->firsts[y]), passes->stride, weights_of(down, y), down->counts[y],
                 passes->task->result + (size_t)y * passes->stride, passes->stride);
}

/* The horizontal weights as `across_row` takes them. Pairs that would reach beyond the row begin earlier, with
   weights of zero. */
static void pair(const Axis *axis, int width, int pairs, int *firsts, int32_t *weights) {
    int last = width - 2 * pairs;
    for (int x = 0; x < axis->size; x++, weights += LANES * (size_t)pairs) {
        int early = axis->firsts[x] > last ? axis->firsts[x] - last : 0;
        firsts[x] = axis->firsts[x] - early;
        for (int i = 0; i < axis->counts[x]; i++)
            for (int lane = 0; lane < 4; lane++)
                weights[4 * (size_t)(i + early) + (size_t)lane] = weights_of(axis, x)[i];
    }
}

static int run_paired(const Passes *passes, int pairs) {
    const Axis *across = &passes->task->across;
    int *firsts = malloc((size_t)across->size * sizeof(int));
    int32_t *weights = calloc((size_t)across->size * (size_t)pairs, LANES * sizeof(int32_t));
    int status = firsts && weights ? DONE : NO_MEMORY;
    if (status == DONE) {
        pair(across, passes->task->width, pairs, firsts, weights);
        run(passes, pairs, firsts, weights);
    }
    free(firsts);
    free(weights);
    return status;
}
#endif

int passes_by_vectors(const Passes *passes) {
#ifdef HAS_VECTORS
    int pairs = (passes->task->across.most + 1) / 2;
    if (HAS_VECTORS && passes->task->width >= 2 * pairs)
        return run_paired(passes, pairs);
#endif
    passes_plain(passes);
    return DONE;
}
