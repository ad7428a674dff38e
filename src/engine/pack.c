/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "engine/engine_internal.h"

/* One layer is packed by a tar-and-hash thread and a compressing one: two at once fill four CPUs. */
#define PACK_THREADS 2

struct packer {
	struct build *b;
	struct cancel *cancel;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct strvec queue; /* layer ids, in order; [next..] are to be done */
	size_t next;
	bool closed;
	struct err *failure;
	pthread_t threads[PACK_THREADS];
	size_t started;
};

static struct err *pack_layer(struct packer *p, const char *id)
{
	struct step_io io = {0, p->b->rq->events, p->cancel};
	struct layer layer = {0};
	enum codec codec = p->b->rq->codec == CODEC_NONE ? CODEC_GZIP : p->b->rq->codec;

	return layer_need_blob(p->b->ex, id, (int)codec, &io, &layer);
}

static void *pack_worker(void *arg)
{
	struct packer *p = arg;

	pthread_mutex_lock(&p->lock);
	while (!p->failure) {
		if (p->next == p->queue.len) {
			if (p->closed)
				break;
			pthread_cond_wait(&p->wake, &p->lock);
			continue;
		}
		AUTO_FREE char *id = mem_strdup(p->queue.ptr[p->next++]);
		pthread_mutex_unlock(&p->lock);
		struct err *e = pack_layer(p, id);
		pthread_mutex_lock(&p->lock);
		if (e)
			p->failure = err_first(p->failure, e);
	}
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

struct packer *packer_new(struct build *b)
{
	struct packer *p = mem_new(struct packer);

	p->b = b;
	p->cancel = cancel_new();
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wake, NULL);
	return p;
}

/* Is n on the way from the result down to its base? Then the layer it makes goes into the image. */
static bool bound_for_export(const struct build *b, const struct node *n)
{
	for (const struct node *at = b->file.root; at;) {
		if (at == n)
			return true;
		enum op_kind kind = node_op(at)->kind;
		if (kind != OP_EXEC && kind != OP_FILE)
			return false;
		at = node_input(at, 0);
	}
	return false;
}

static void enqueue(struct packer *p, const char *id)
{
	if (strvec_has(&p->queue, id))
		return;
	strvec_push(&p->queue, id);
	if (p->started < PACK_THREADS && p->queue.len > p->started &&
		!pthread_create(&p->threads[p->started], NULL, pack_worker, p))
		p->started++;
	pthread_cond_signal(&p->wake);
}

void packer_on_result(void *ctx, const struct node *n, const struct snapshot *s)
{
	struct packer *p = ctx;
	enum op_kind kind = node_op(n)->kind;

	if ((kind != OP_EXEC && kind != OP_FILE) || !s->layers.len || !bound_for_export(p->b, n))
		return;
	const char *id = s->layers.ptr[s->layers.len - 1];
	struct layer layer = {0};
	bool found = false;
	struct err *e = store_layer_get(p->b->engine->store, id, &layer, &found);
	err_ignore(e, "assembling the image asks again and reports");
	if (found && digest_is_set(&layer.blob) && digest_is_set(&layer.diff_id))
		return;
	pthread_mutex_lock(&p->lock);
	enqueue(p, id);
	pthread_mutex_unlock(&p->lock);
}

static struct err *packer_end(struct packer *p)
{
	pthread_mutex_lock(&p->lock);
	p->closed = true;
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
	for (size_t i = 0; i < p->started; i++)
		pthread_join(p->threads[i], NULL);
	struct err *e = p->failure;
	strvec_fini(&p->queue);
	cancel_free(p->cancel);
	pthread_cond_destroy(&p->wake);
	pthread_mutex_destroy(&p->lock);
	mem_freep(&p);
	return e;
}

struct err *packer_finish(struct packer *p)
{
	return packer_end(p);
}

void packer_abandon(struct packer *p)
{
	if (!p)
		return;
	cancel_set(p->cancel);
	pthread_mutex_lock(&p->lock);
	p->next = p->queue.len;
	pthread_mutex_unlock(&p->lock);
	err_ignore(packer_end(p), "the build has failed for a reason of its own");
}
