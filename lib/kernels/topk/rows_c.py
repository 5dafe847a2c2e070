"""What a TopK autoencoder does with rows, in C. It is kept as text in a module, so that a result's digest covers it.

The k largest of a row are kept in a heap while the row comes by in tiles, so that the products of an input with all
features are never written to memory. Gradients go through the pairs feature by feature: each row of a gradient is
written once, and one reading of an input serves both its gradients. REAL is float or double.
"""

SOURCE = r"""
#include <stdint.h>
#include <string.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

typedef REAL real;
#define TOGETHER 64   /* numbers looked at before one branch */
#define LINE ((long)(64 / sizeof(real)))

static inline void fetch(const real *row, long D) {
    for (long d = 0; d < D; d += LINE) __builtin_prefetch(row + d);
}

/* Larger first, of equals the lower feature; what is not a number comes before all, as in torch.topk. No branches. */
static inline int before(real v, int64_t i, real w, int64_t j) {
    return (v > w) | ((v == w) & (i < j)) | ((v != v) & (w == w));
}

static inline real positive(real x) { return x < 0 ? 0 : x; }

/* A heap of k with the last in order at its root: put (value, index) at `at` or below, where it belongs. */
static inline void sink(real *v, int64_t *i, long k, long at, real value, int64_t index) {
    for (long child; (child = 2 * at + 1) < k; at = child) {
        if (child + 1 < k) child += before(v[child], i[child], v[child + 1], i[child + 1]);
        if (!before(value, index, v[child], i[child])) break;
        v[at] = v[child];
        i[at] = i[child];
    }
    v[at] = value;
    i[at] = index;
}

/* Rows first..last of a tile s [N, W], features `start` and on: relu(s + bias) goes through the heaps of
   values, indices [N, k]. Heaps come filled with values below zero and indices above all. */
int topk_scan(long first, long last, long W, long k, long start,
              const real *s, const real *bias, real *values, int64_t *indices)
{
    for (long n = first; n < last; n++) {
        const real *row = s + n * W;
        real *v = values + n * k;
        int64_t *i = indices + n * k;
        real least = v[0];
        for (long f = 0; f < W; f += TOGETHER) {
            real kept[TOGETHER];
            int many = W - f < TOGETHER ? W - f : TOGETHER, any = many < TOGETHER;
            if (any)
                for (int l = 0; l < many; l++) kept[l] = positive(row[f + l] + bias[f + l]);
            else
                for (int l = 0; l < TOGETHER; l++) {
                    kept[l] = positive(row[f + l] + bias[f + l]);
                    any |= !(kept[l] <= least);
                }
            if (!any) continue;
            int better[TOGETHER], found = 0;         /* of equals the later one stays out; no branch to mispredict */
            for (int l = 0; l < many; l++) {
                better[found] = l;
                found += !(kept[l] <= least);
            }
            for (int c = 0; c < found; c++) {
                int l = better[c];
                if (before(kept[l], start + f + l, v[0], i[0])) sink(v, i, k, 0, kept[l], start + f + l);
            }
            least = v[0];
        }
    }
    return 0;
}

/* Heaps to rows in order, the largest first. */
int topk_sort(long first, long last, long k, real *values, int64_t *indices)
{
    for (long n = first; n < last; n++) {
        real *v = values + n * k;
        int64_t *i = indices + n * k;
        for (long end = k - 1; end > 0; end--) {
            real value = v[end];
            int64_t index = i[end];
            v[end] = v[0];
            i[end] = i[0];
            sink(v, i, end, 0, value, index);
        }
    }
    return 0;
}

/* out [N, D], row n: the sum over j of weights[n, j] table[indices[n, j]]. Returns 1 for an index outside 0..F. */
int row_sums(long first, long last, long k, long D, long F,
             const real *weights, const int64_t *indices, const real *table, real *out)
{
    for (long p = first * k; p < last * k; p++) if (indices[p] < 0 || indices[p] >= F) return 1;
    for (long n = first; n < last; n++) {
        const real *w = weights + n * k;
        const int64_t *i = indices + n * k;
        real *sum = out + n * D;
        memset(sum, 0, D * sizeof(real));
        for (long j = 0; j < k; j++) {
            const real *row = table + i[j] * D;
            if (n * k + j + 2 < last * k) fetch(table + i[j + 2] * D, D);
            real by = w[j];
            for (long d = 0; d < D; d++) sum[d] += by * row[d];
        }
    }
    return 0;
}

/* Pairs p = n k + j sorted by the feature they name, in order within one: those of feature f stand in `order` from
   starts[f] to starts[f + 1]. One call for all; starts [F + 1] must come zeroed. Returns 1 for an index outside
   0..F. */
int topk_order(long first, long last, long pairs, long F, const real *unused,
               const int64_t *indices, int64_t *starts, int64_t *order)
{
    for (long p = 0; p < pairs; p++) {
        if (indices[p] < 0 || indices[p] >= F) return 1;
        starts[indices[p]]++;
    }
    for (long f = 0, sum = 0; f <= F; f++) {
        sum += starts[f];
        starts[f] = sum;                         /* the end of f; placing backwards turns it into the start */
    }
    for (long p = pairs - 1; p >= 0; p--) order[--starts[indices[p]]] = p;
    return 0;
}

/* Ask for large pages under memory that nobody has touched yet. A page is cleared at its first touch, and a gradient
   of 32 MB has 8,192 small ones: filling it takes half as long on 16 large ones. Only advice; without the call,
   nothing. */
int large_pages(long first, long last, long bytes, const real *memory)
{
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    const uintptr_t page = 1 << 21, from = ((uintptr_t)memory + page - 1) & -page;
    const uintptr_t to = ((uintptr_t)memory + bytes) & -page;
    if (from < to) madvise((void *)from, to - from, MADV_HUGEPAGE);
#endif
    return 0;
}

/* Features first..last: d_table[f] is the sum of weights[p] vectors[n] over the pairs of f, d_weights[p] the inner
   product of table[f] and vectors[n]. Either may be NULL. */
int row_gradients(long first, long last, long k, long D, const real *weights, const real *table, const real *vectors,
                  const int64_t *starts, const int64_t *order, real *d_weights, real *d_table)
{
    for (long f = first; f < last; f++) {
        const real *row = table + f * D;
        if (d_table) memset(d_table + f * D, 0, D * sizeof(real));
        for (long q = starts[f]; q < starts[f + 1]; q++) {
            const real *vector = vectors + order[q] / k * D;
            if (q + 2 < starts[last]) fetch(vectors + order[q + 2] / k * D, D);
            if (d_weights) {
                real part[TOGETHER] = {0}, total = 0;
                long d = 0;
                for (; d + TOGETHER <= D; d += TOGETHER)
                    for (int l = 0; l < TOGETHER; l++) part[l] += row[d + l] * vector[d + l];
                for (; d < D; d++) total += row[d] * vector[d];
                for (int l = 0; l < TOGETHER; l++) total += part[l];
                d_weights[order[q]] = total;
            }
            if (d_table) {
                real by = weights[order[q]], *sum = d_table + f * D;
                for (long d = 0; d < D; d++) sum[d] += by * vector[d];
            }
        }
    }
    return 0;
}
"""
