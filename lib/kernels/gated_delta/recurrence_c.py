"""The recurrence and its gradient in C. It is kept as text in a module, so that the digest of a result covers it.

Columns of the state never meet, so each block of columns runs through time alone and stays in the first-level cache.
Vectors are the compiler's own (GCC and Clang); REAL is float or double. Functions return 1 when memory runs out.
"""

SOURCE = r"""
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
#define WIDE 4                      /* vectors per row of a block: what fits in 16 registers, twice */
#define BLOCK (WIDE * LANES)        /* columns per block */
#define EACH for (int w = 0; w < WIDE; w++)

/* Copy n columns to or from a row of a block; the columns beyond n are zero and stay zero. */
static inline void load(vec *row, const real *from, long n) {
    if (n == BLOCK) { memcpy(row, from, BLOCK * sizeof(real)); return; }
    memset(row, 0, BLOCK * sizeof(real));
    memcpy(row, from, n * sizeof(real));
}

static inline void store(real *to, const vec *row, long n) {
    memcpy(to, row, (n == BLOCK ? BLOCK : n) * sizeof(real));
}

static inline real sum(vec x) {
    real s[LANES];
    memcpy(s, &x, sizeof s);
    for (int half = LANES / 2; half; half /= 2)
        for (int l = 0; l < half; l++) s[l] += s[l + half];
    return s[0];
}

static inline real dot(const real *a, const real *b, long n) {
    real part[8] = {0}, total = 0;
    long i = 0;
    for (; i + 8 <= n; i += 8)
        for (int l = 0; l < 8; l++) part[l] += a[i + l] * b[i + l];
    for (; i < n; i++) total += a[i] * b[i];
    for (int l = 0; l < 8; l++) total += part[l];
    return total;
}

/* after = decay * before + k u^T */
static inline void advance(vec *after, const vec *before, real decay, const real *k, const vec *u, long K) {
    for (long i = 0; i < K; i++) EACH after[i * WIDE + w] = decay * before[i * WIDE + w] + k[i] * u[w];
}

static vec *scratch(long vectors) {
    void *memory = NULL;
    return posix_memalign(&memory, 64, (vectors ? vectors : 1) * sizeof(vec)) ? NULL : memory;
}

/* Rows first..last of B * H. q, k [B, T, H, K]; v, o, error [B, T, H, V]; decay, beta [B, T, H];
   initial, final [B * H, K, V]. With error (v less the state's prediction) and checkpoints
   [B * H, ceil(T / every), K, V] (the state before each `every` steps) the gradient can be taken; NULL skips them. */
int gated_delta_forward(
    long first, long last, long T, long H, long K, long V, long every, double scale,
    const real *q, const real *k, const real *v, const real *decay, const real *beta, const real *initial,
    real *o, real *final, real *error, real *checkpoints)
{
    vec *S = scratch(K * WIDE);
    if (!S) return 1;
    long kept = (T + every - 1) / every;
    for (long row = first; row < last; row++)
    for (long c = 0; c < V; c += BLOCK) {
        long n = V - c < BLOCK ? V - c : BLOCK;
        for (long i = 0; i < K; i++) load(S + i * WIDE, initial + (row * K + i) * V + c, n);
        for (long t = 0; t < T; t++) {
            long at = (row / H * T + t) * H + row % H;
            const real *q_t = q + at * K, *k_t = k + at * K;
            if (checkpoints && t % every == 0) {
                real *to = checkpoints + (row * kept + t / every) * K * V + c;
                for (long i = 0; i < K; i++) store(to + i * V, S + i * WIDE, n);
            }
            vec held[WIDE] = {{0}}, read[WIDE] = {{0}}, miss[WIDE], u[WIDE];
            for (long i = 0; i < K; i++) EACH {
                held[w] += k_t[i] * S[i * WIDE + w];
                read[w] += q_t[i] * S[i * WIDE + w];
            }
            load(miss, v + at * V + c, n);
            real d = decay[at], b = beta[at], qk = dot(q_t, k_t, K);
            EACH {
                miss[w] -= d * held[w];
                u[w] = b * miss[w];
                read[w] = (real)scale * (d * read[w] + qk * u[w]);
            }
            store(o + at * V + c, read, n);
            if (error) store(error + at * V + c, miss, n);
            advance(S, S, d, k_t, u, K);
        }
        for (long i = 0; i < K; i++) store(final + (row * K + i) * V + c, S + i * WIDE, n);
    }
    free(S);
    return 0;
}

/* The gradient, backwards through stretches of `every` steps: each is run again from its checkpoint, then unwound.
   dq, dk, dg, dbeta are added to and must come zeroed; dv and d_initial are written. */
int gated_delta_backward(
    long first, long last, long T, long H, long K, long V, long every, double scale,
    const real *q, const real *k, const real *decay, const real *beta, const real *error, const real *checkpoints,
    const real *d_o, const real *d_final,
    real *dq, real *dk, real *dv, real *dg, real *dbeta, real *d_initial)
{
    long size = K * WIDE;
    vec *G = scratch((every + 1) * size + K);   /* G: the gradient of the state after step t */
    if (!G) return 1;
    vec *before = G + size, *along_u = before + every * size;
    long kept = (T + every - 1) / every;
    for (long row = first; row < last; row++)
    for (long c = 0; c < V; c += BLOCK) {
        long n = V - c < BLOCK ? V - c : BLOCK;
        for (long i = 0; i < K; i++) load(G + i * WIDE, d_final + (row * K + i) * V + c, n);
        for (long s = kept - 1; s >= 0; s--) {
            long begin = s * every, end = begin + every < T ? begin + every : T;
            const real *checkpoint = checkpoints + (row * kept + s) * K * V + c;
            for (long i = 0; i < K; i++) load(before + i * WIDE, checkpoint + i * V, n);
            for (long t = begin; t + 1 < end; t++) {
                long at = (row / H * T + t) * H + row % H;
                vec u[WIDE], *S = before + (t - begin) * size;
                load(u, error + at * V + c, n);
                EACH u[w] *= beta[at];
                advance(S + size, S, decay[at], k + at * K, u, K);
            }
            for (long t = end - 1; t >= begin; t--) {
                long at = (row / H * T + t) * H + row % H;
                const real *q_t = q + at * K, *k_t = k + at * K;
                const vec *S = before + (t - begin) * size;
                vec y[WIDE], miss[WIDE], u[WIDE], du[WIDE] = {{0}}, z[WIDE];
                real d = decay[at], b = beta[at], qk = dot(q_t, k_t, K);
                load(y, d_o + at * V + c, n);
                load(miss, error + at * V + c, n);
                EACH { y[w] *= (real)scale; u[w] = b * miss[w]; }
                for (long i = 0; i < K; i++) {
                    vec gu = {0};
                    EACH { du[w] += k_t[i] * G[i * WIDE + w]; gu += G[i * WIDE + w] * u[w]; }
                    along_u[i] = gu;
                }
                vec yu = {0}, db = {0}, dd = {0};
                EACH { du[w] += qk * y[w]; yu += y[w] * u[w]; db += du[w] * miss[w]; z[w] = b * du[w]; }
                store(dv + at * V + c, z, n);
                dbeta[at] += sum(db);
                real uy = sum(yu);
                EACH { z[w] *= -d; y[w] *= d; }
                for (long i = 0; i < K; i++) {
                    vec sy = {0}, sz = along_u[i];
                    EACH {
                        vec x = S[i * WIDE + w], next = d * G[i * WIDE + w] + q_t[i] * y[w] + k_t[i] * z[w];
                        sy += x * y[w];
                        sz += x * z[w];
                        dd += x * next;
                        G[i * WIDE + w] = next;
                    }
                    dq[at * K + i] += sum(sy) + k_t[i] * uy;
                    dk[at * K + i] += sum(sz) + q_t[i] * uy;
                }
                dg[at] += sum(dd);
            }
        }
        for (long i = 0; i < K; i++) store(d_initial + (row * K + i) * V + c, G + i * WIDE, n);
    }
    free(G);
    return 0;
}
"""
