/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/compress_internal.h"

#include "base/mem.h"

#include <isa-l/crc.h>
#include <pthread.h>

/*
 * ISA-L gives the same bytes on every x86-64 processor with SSE 4.2 (its variants for AVX2 and AVX-512
 * included); its plain C, used on older ones, and its code for other architectures find other matches.
 */
#define LEVEL 1
#define LEVEL_BUF ISAL_DEF_LVL1_DEFAULT

enum job_state { JOB_FREE, JOB_READY, JOB_TAKEN, JOB_DONE };

struct job {
	enum job_state state;
	int rc;
	struct gzip_chunk chunk;
};

struct gzip_pool {
	byte_sink *sink;
	void *ctx;
	unsigned threads, started;
	pthread_t *thread;
	pthread_mutex_t lock;
	pthread_cond_t ready, done;
	bool stop;
	/* A ring: jobs [written, put) are handed in, of those [taken, put) still wait for a thread. */
	struct job *jobs;
	unsigned n_jobs;
	uint64_t put, taken, written;
	uint64_t total;
	uint32_t crc;
	struct isal_zstream stream; /* of the owner's thread */
	uint8_t *level_buf;
};

/*
 * The library (2.30) looks up the third byte of a stream without history by a hash of the stream's own
 * address instead of the data, so that now and then the same input gives other bytes at another address. What
 * it uses for the last bytes before a flush has no such fault, and takes more than three to make history of
 * them: so the first few go in alone. It costs some bytes a chunk and no time.
 */
#define FIRST 8

int gzip_deflate_chunk(struct isal_zstream *s, uint8_t *level_buf, struct gzip_chunk *c)
{
	isal_deflate_init(s);
	s->level = LEVEL;
	s->level_buf = level_buf;
	s->level_buf_size = LEVEL_BUF;
	s->gzip_flag = IGZIP_DEFLATE;
	s->next_in = c->in;
	s->next_out = c->out;
	s->avail_out = GZIP_CHUNK_OUT;
	int rc = COMP_OK;
	if (c->len > FIRST) {
		s->flush = SYNC_FLUSH;
		s->avail_in = FIRST;
		rc = isal_deflate(s);
	}
	s->flush = FULL_FLUSH;
	s->end_of_stream = c->last;
	s->avail_in = (uint32_t)c->len - s->total_in;
	if (rc == COMP_OK)
		rc = isal_deflate(s);
	c->out_len = s->total_out;
	return rc == COMP_OK && (s->avail_in > 0 || s->avail_out == 0) ? STATELESS_OVERFLOW : rc;
}

static void *worker(void *arg)
{
	struct gzip_pool *g = arg;
	AUTO_FREE struct isal_zstream *s = mem_new(struct isal_zstream);
	AUTO_FREE uint8_t *level_buf = mem_zalloc(LEVEL_BUF);
	pthread_mutex_lock(&g->lock);
	for (;;) {
		while (!g->stop && g->taken == g->put)
			pthread_cond_wait(&g->ready, &g->lock);
		if (g->stop)
			break;
		struct job *j = &g->jobs[g->taken++ % g->n_jobs];
		j->state = JOB_TAKEN;
		pthread_mutex_unlock(&g->lock);
		j->rc = gzip_deflate_chunk(s, level_buf, &j->chunk);
		pthread_mutex_lock(&g->lock);
		j->state = JOB_DONE;
		pthread_cond_signal(&g->done);
	}
	pthread_mutex_unlock(&g->lock);
	return NULL;
}

struct gzip_pool *gzip_pool_new(unsigned threads, byte_sink *sink, void *ctx)
{
	struct gzip_pool *g = mem_new(struct gzip_pool);
	g->sink = sink;
	g->ctx = ctx;
	g->threads = threads;
	g->n_jobs = threads > 1 ? 2 * threads : 1;
	g->jobs = mem_array(g->n_jobs, sizeof(struct job));
	g->thread = mem_array(threads, sizeof(pthread_t));
	g->level_buf = mem_zalloc(LEVEL_BUF);
	pthread_mutex_init(&g->lock, NULL);
	pthread_cond_init(&g->ready, NULL);
	pthread_cond_init(&g->done, NULL);
	return g;
}

static void stop_threads(struct gzip_pool *g)
{
	pthread_mutex_lock(&g->lock);
	g->stop = true;
	pthread_cond_broadcast(&g->ready);
	pthread_mutex_unlock(&g->lock);
	while (g->started > 0)
		pthread_join(g->thread[--g->started], NULL);
}

void gzip_pool_freep(struct gzip_pool **gp)
{
	struct gzip_pool *g = *gp;
	*gp = NULL;
	if (!g)
		return;
	stop_threads(g);
	pthread_cond_destroy(&g->done);
	pthread_cond_destroy(&g->ready);
	pthread_mutex_destroy(&g->lock);
	for (unsigned i = 0; i < g->n_jobs; i++) {
		mem_freep(&g->jobs[i].chunk.in);
		mem_freep(&g->jobs[i].chunk.out);
	}
	mem_freep(&g->jobs);
	mem_freep(&g->thread);
	mem_freep(&g->level_buf);
	mem_freep(&g);
}

static struct err *write_header(struct gzip_pool *g)
{
	/* RFC 1952: deflate, no flags, no time, no hint, operating system unknown. */
	static const uint8_t header[10] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff};
	return g->sink(g->ctx, header, sizeof(header));
}

static struct err *write_trailer(struct gzip_pool *g)
{
	uint8_t t[8];
	for (unsigned i = 0; i < 4; i++) {
		t[i] = (uint8_t)(g->crc >> (8 * i));
		t[4 + i] = (uint8_t)(g->total >> (8 * i));
	}
	return g->sink(g->ctx, t, sizeof(t));
}

static struct err *write_job(struct gzip_pool *g, struct job *j)
{
	if (j->rc != COMP_OK)
		return err_new(ERR_BUG, "gzip: compressing %zu bytes gave %d", j->chunk.len, j->rc);
	if (g->written++ == 0)
		TRY(write_header(g));
	g->crc = crc32_gzip_refl(g->crc, j->chunk.in, j->chunk.len);
	g->total += j->chunk.len;
	bool last = j->chunk.last;
	TRY(g->sink(g->ctx, j->chunk.out, j->chunk.out_len));
	j->state = JOB_FREE;
	return last ? write_trailer(g) : NULL;
}

/* Wait for the oldest job and write it. */
static struct err *write_oldest(struct gzip_pool *g)
{
	struct job *j = &g->jobs[g->written % g->n_jobs];
	pthread_mutex_lock(&g->lock);
	bool mine = j->state == JOB_READY;
	if (mine) { /* nobody has taken it, so nobody has taken a later one */
		j->state = JOB_TAKEN;
		g->taken++;
	}
	while (!mine && j->state != JOB_DONE)
		pthread_cond_wait(&g->done, &g->lock);
	pthread_mutex_unlock(&g->lock);
	if (mine)
		j->rc = gzip_deflate_chunk(&g->stream, g->level_buf, &j->chunk);
	return write_job(g, j);
}

struct err *gzip_pool_chunk(struct gzip_pool *g, uint8_t **out)
{
	struct job *j = &g->jobs[g->put % g->n_jobs];
	while (g->put - g->written >= g->n_jobs)
		TRY(write_oldest(g));
	if (!j->chunk.in) {
		j->chunk.in = mem_alloc(GZIP_CHUNK);
		j->chunk.out = mem_alloc(GZIP_CHUNK_OUT);
	}
	*out = j->chunk.in;
	return NULL;
}

/* With fewer threads than wished for, or none, the owner does the work. */
static void start_threads(struct gzip_pool *g)
{
	while (g->started < g->threads && pthread_create(&g->thread[g->started], NULL, worker, g) == 0)
		g->started++;
}

struct err *gzip_pool_put(struct gzip_pool *g, size_t len, bool last)
{
	struct job *j = &g->jobs[g->put % g->n_jobs];
	pthread_mutex_lock(&g->lock);
	j->chunk.len = len;
	j->chunk.last = last;
	j->state = JOB_READY;
	g->put++;
	pthread_cond_signal(&g->ready);
	pthread_mutex_unlock(&g->lock);
	if (!last && g->threads > 1 && g->started == 0)
		start_threads(g);
	while (last && g->written < g->put)
		TRY(write_oldest(g));
	return NULL;
}
