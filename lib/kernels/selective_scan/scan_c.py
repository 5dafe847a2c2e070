"""The selective scan and its gradient in C. It is kept as text in a module, so that the digest of a result covers it.

Channels never meet, so a block of them fills the lanes of a vector and runs through time alone, its N states in the
first-level cache. REAL is float or double. For float the exponential is computed here, in all lanes at once: the C
library's would be called lane by lane and would be most of the time. Functions return 1 when memory runs out.
"""

SOURCE = r"""
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif

typedef REAL real;
typedef real vec __attribute__((vector_size(VECTOR_BYTES)));
#define LANES ((long)(VECTOR_BYTES / sizeof(real)))

/* n lanes from memory, or to it; the lanes beyond n are zero and stay zero. */
static inline vec load(const real *from, long n) {
    vec v = {0};
    memcpy(&v, from, n * sizeof(real));
    return v;
}

static inline void store(real *to, vec v, long n) { memcpy(to, &v, n * sizeof(real)); }

static inline vec load_strided(const real *from, long stride, long n) {
    vec v = {0};
    for (long l = 0; l < n; l++) v[l] = from[l * stride];
    return v;
}

static inline void store_strided(real *to, vec v, long stride, long n) {
    for (long l = 0; l < n; l++) to[l * stride] = v[l];
}

static inline real sum(vec v) {
    real s[LANES];
    memcpy(s, &v, sizeof s);
    for (int half = LANES / 2; half; half /= 2)
        for (int l = 0; l < half; l++) s[l] += s[l + half];
    return s[0];
}

/* exp(z) for z <= 0. In float: z = k ln 2 + r, exp(r) by its Taylor series to r^7, 2^k by its bits; 1e-7 relative. */
static inline vec exponential(vec z) {
    if (sizeof(real) == 8) {
        for (long l = 0; l < LANES; l++) z[l] = exp(z[l]);
        return z;
    }
    typedef float single __attribute__((vector_size(VECTOR_BYTES)));
    typedef int32_t whole __attribute__((vector_size(VECTOR_BYTES)));
    single s = (single)z;
    whole tiny = s < -87.0f;
    const float shift = 12582912.0f; /* 1.5 * 2^23: adding it rounds to a whole number in the low bits */
    single k = s * 1.44269504f + shift;
    whole bits = (whole)k;
    k -= shift;
    single r = s - k * 0.693359375f + k * 2.12194440e-4f;
    single p = r * (1.0f / 5040) + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    whole power = (bits + 127) << 23;
    p *= (single)power;
    return (vec)((whole)p & ~tiny);
}

static vec *scratch(long vectors) {
    void *memory = NULL;
    return posix_memalign(&memory, 64, vectors * sizeof(vec)) ? NULL : memory;
}

/* Batch rows first..last. x, dt, y [B, T, E]; a [E, N]; b, c [B, T, N]; d [E]; initial, final [B, E, N].
   checkpoints [B, ceil(T / every), N, E], the state before each `every` steps, or NULL. */
int selective_scan_forward(
    long first, long last, long T, long E, long N, long every,
    const real *x, const real *dt, const real *a, const real *b, const real *c, const real *d,
    const real *initial, real *y, real *final, real *checkpoints)
{
    vec *A = scratch(2 * N);
    if (!A) return 1;
    vec *S = A + N;
    long kept = (T + every - 1) / every;
    for (long row = first; row < last; row++)
    for (long e = 0; e < E; e += LANES) {
        long n = E - e < LANES ? E - e : LANES;
        vec skip = load(d + e, n);
        for (long i = 0; i < N; i++) {
            A[i] = load_strided(a + e * N + i, N, n);
            S[i] = load_strided(initial + (row * E + e) * N + i, N, n);
        }
        for (long t = 0; t < T; t++) {
            long at = row * T + t;
            if (checkpoints && t % every == 0)
                for (long i = 0; i < N; i++) store(checkpoints + ((row * kept + t / every) * N + i) * E + e, S[i], n);
            vec x_t = load(x + at * E + e, n), dt_t = load(dt + at * E + e, n), write = dt_t * x_t, read = skip * x_t;
            for (long i = 0; i < N; i++) {
                S[i] = exponential(dt_t * A[i]) * S[i] + write * b[at * N + i];
                read += S[i] * c[at * N + i];
            }
            store(y + at * E + e, read, n);
        }
        for (long i = 0; i < N; i++) store_strided(final + (row * E + e) * N + i, S[i], N, n);
    }
    free(A);
    return 0;
}

/* The gradient, backwards through stretches of `every` steps: each is run again from its checkpoint, then unwound.
   db, dc [B, T, N] are added to and must come zeroed; da [B, E, N] and dd [B, E] are one sum per batch row. */
int selective_scan_backward(
    long first, long last, long T, long E, long N, long every,
    const real *x, const real *dt, const real *a, const real *b, const real *c, const real *d,
    const real *checkpoints, const real *d_y, const real *d_final,
    real *dx, real *d_dt, real *da, real *db, real *dc, real *dd, real *d_initial)
{
    vec *A = scratch((3 + 2 * every + 1) * N);   /* G: the gradient of the state after step t */
    if (!A) return 1;
    vec *G = A + N, *dA = G + N, *decay = dA + N, *before = decay + every * N;
    long kept = (T + every - 1) / every;
    for (long row = first; row < last; row++)
    for (long e = 0; e < E; e += LANES) {
        long n = E - e < LANES ? E - e : LANES;
        vec skip = load(d + e, n), d_skip = {0};
        for (long i = 0; i < N; i++) {
            A[i] = load_strided(a + e * N + i, N, n);
            G[i] = load_strided(d_final + (row * E + e) * N + i, N, n);
            dA[i] = (vec){0};
        }
        for (long s = kept - 1; s >= 0; s--) {
            long begin = s * every, end = begin + every < T ? begin + every : T;
            for (long i = 0; i < N; i++) before[i] = load(checkpoints + ((row * kept + s) * N + i) * E + e, n);
            for (long t = begin; t < end; t++) {
                long at = row * T + t, j = (t - begin) * N;
                vec dt_t = load(dt + at * E + e, n), write = dt_t * load(x + at * E + e, n);
                for (long i = 0; i < N; i++) {
                    decay[j + i] = exponential(dt_t * A[i]);
                    before[j + N + i] = decay[j + i] * before[j + i] + write * b[at * N + i];
                }
            }
            for (long t = end - 1; t >= begin; t--) {
                long at = row * T + t, j = (t - begin) * N;
                vec x_t = load(x + at * E + e, n), dt_t = load(dt + at * E + e, n), g = load(d_y + at * E + e, n);
                vec into = {0}, by_decay = {0};
                for (long i = 0; i < N; i++) {
                    dc[at * N + i] += sum(g * before[j + N + i]);
                    vec whole = G[i] + g * c[at * N + i], back = whole * decay[j + i], turn = back * before[j + i];
                    db[at * N + i] += sum(whole * dt_t * x_t);
                    into += whole * b[at * N + i];
                    by_decay += turn * A[i];
                    dA[i] += turn * dt_t;
                    G[i] = back;
                }
                store(dx + at * E + e, dt_t * into + skip * g, n);
                store(d_dt + at * E + e, by_decay + x_t * into, n);
                d_skip += g * x_t;
            }
        }
        store(dd + row * E + e, d_skip, n);
        for (long i = 0; i < N; i++) {
            store_strided(da + (row * E + e) * N + i, dA[i], N, n);
            store_strided(d_initial + (row * E + e) * N + i, G[i], N, n);
        }
    }
    free(A);
    return 0;
}
"""
