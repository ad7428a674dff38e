/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "solver/solve_internal.h"

#include <stdatomic.h>
#include <string.h>

bool task_may_use_cache(const struct solve *s, const struct task *t)
{
	enum op_kind kind = node_op(t->out.node)->kind;
	bool makes_layers = kind == OP_EXEC || kind == OP_FILE;

	if (s->opt->isolated)
		return false;
	return !node_label(t->out.node)->ignore_cache && !(s->opt->no_cache && makes_layers);
}

static struct err *pin_one(struct solve *s, struct task *t)
{
	struct step_io io = task_io(s, t);
	char text[DIGEST_TEXT_MAX];
	const struct source_pin *locked =
		s->opt->locked ? map_get_c(s->opt->locked, digest_text(node_digest(t->out.node), text))
			       : NULL;

	if (locked) {
		t->out.pin.text = mem_strdup(locked->text);
		t->out.pin.digest = locked->digest;
		return NULL;
	}
	struct err *e = s->ex->ops->pin(s->ex, t->out.node, &io, &t->out.pin);
	return e ? task_failed(s, t, e, 0) : NULL;
}

/* A local directory's own digest is never needed when all that read it are FILE nodes: they digest what they
 * select. */
static bool needs_pin(const struct solve *s, const struct task *t)
{
	if (!task_is_source(t))
		return false;
	if (node_op(t->out.node)->kind != OP_LOCAL)
		return true;
	for (size_t i = 0; i < s->result->count; i++) {
		const struct node *n = s->result->tasks[i].out.node;
		for (size_t j = 0; j < node_input_count(n); j++)
			if (node_input(n, j) == t->out.node && !input_is_read_in_place(n, j))
				return true;
	}
	return false;
}

struct pin_queue {
	struct solve *s;
	struct task **tasks;
	size_t count;
	atomic_size_t next;
};

static void *pin_worker(void *arg)
{
	struct pin_queue *q = arg;

	for (;;) {
		size_t i = atomic_fetch_add(&q->next, 1);
		if (i >= q->count || cancel_is_set(q->s->cancel) || cancel_is_set(q->s->opt->cancel))
			return NULL;
		struct err *e = pin_one(q->s, q->tasks[i]);
		if (!e)
			continue;
		pthread_mutex_lock(&q->s->lock);
		q->s->failure = err_first(q->s->failure, e);
		pthread_mutex_unlock(&q->s->lock);
		cancel_set(q->s->cancel);
	}
}

#define PIN_THREADS 4

static struct err *pin_sources(struct solve *s)
{
	AUTO_FREE struct task **tasks = mem_array(s->result->count + 1, sizeof(*tasks));
	struct pin_queue q = {.s = s, .tasks = tasks};
	pthread_t threads[PIN_THREADS];
	size_t started = 0;

	for (size_t i = 0; i < s->result->count; i++)
		if (needs_pin(s, &s->result->tasks[i]))
			tasks[q.count++] = &s->result->tasks[i];
	while (started + 1 < q.count && started < PIN_THREADS &&
		!pthread_create(&threads[started], NULL, pin_worker, &q))
		started++;
	pin_worker(&q);
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	if (s->failure)
		return steal(&s->failure);
	return cancel_check(s->opt->cancel);
}

static struct err *add_input_key(struct solve *s, struct hasher *h, struct task *t, size_t i)
{
	const struct node *n = t->out.node;
	const struct node *in = node_input(n, i);
	struct digest d = {DIGEST_SHA256, {0}};

	if (in && node_op(in)->kind == OP_LOCAL) {
		struct step_io io = task_io(s, t);
		TRY(s->ex->ops->content_digest(s->ex, n, i, NULL, &io, &d));
	} else if (in) {
		const struct task *it = solve_task(s->result, in);
		d = it->out.key;
		t->tainted |= it->tainted;
	}
	hasher_add(h, d.bytes, digest_len(d.algo));
	return NULL;
}

static struct err *task_key(struct solve *s, struct task *t)
{
	const struct node *n = t->out.node;
	AUTO(hasher_freep) struct hasher *h = hasher_new(DIGEST_SHA256);

	if (t->has_key)
		return NULL;
	t->tainted = node_label(n)->ignore_cache;
	hasher_add_field(h, str_c(op_kind_name(node_op(n)->kind)));
	if (task_is_source(t)) {
		hasher_add(h, t->out.pin.digest.bytes, digest_len(t->out.pin.digest.algo));
		/* what of the pinned thing is taken, and how (subdirectory, file name, mode), without where
		 * it comes from */
		if (node_op(n)->kind != OP_IMAGE)
			hasher_add(h, node_op_digest(n)->bytes, 32);
	} else {
		hasher_add(h, node_op_digest(n)->bytes, 32);
		hasher_add_field(h, str_c(s->opt->salt));
		for (size_t i = 0; i < node_input_count(n); i++)
			TRY(add_input_key(s, h, t, i));
	}
	hasher_finish(h, &t->out.key);
	t->has_key = true;
	return NULL;
}

struct err *task_lookup(struct solve *s, struct task *t, bool *hit)
{
	struct snapshot found = {0};
	bool usable = false;

	*hit = false;
	struct err *e = record_get(s->store, &t->out.key, &found, hit);
	if (!e && *hit)
		e = s->ex->ops->check(s->ex, &found, &usable);
	*hit = *hit && usable;
	if (e || !*hit) {
		snapshot_fini(&found);
		return e;
	}
	t->out.snapshot = found;
	t->out.cached = true;
	return NULL;
}

static void mark_implied(struct solve *s, struct task *t)
{
	if (t->state != TASK_UNVISITED)
		return;
	t->state = TASK_IMPLIED;
	t->out.cached = true;
	for (size_t i = 0; i < node_input_count(t->out.node); i++)
		if (node_input(t->out.node, i))
			mark_implied(s, solve_task(s->result, node_input(t->out.node, i)));
}

/* The result of t is wanted: from a record, or it becomes a task. Inputs stand before their users, so
 * recursion is as deep as the graph. */
static struct err *want(struct solve *s, struct task *t)
{
	bool hit = false;

	if (t->state != TASK_UNVISITED && t->state != TASK_IMPLIED)
		return NULL;
	t->out.cached = false;
	if (!task_is_source(t) && task_may_use_cache(s, t) && !t->tainted) {
		TRY(task_lookup(s, t, &hit));
		t->probed = true;
	}
	if (hit) {
		t->state = TASK_FINISHED;
		if (s->opt->on_result)
			s->opt->on_result(s->opt->on_result_ctx, t->out.node, &t->out.snapshot);
		return NULL;
	}
	t->state = TASK_WAITING;
	for (size_t i = 0; i < node_input_count(t->out.node); i++) {
		const struct node *in = node_input(t->out.node, i);
		if (!in || input_is_read_in_place(t->out.node, i))
			continue;
		struct task *it = solve_task(s->result, in);
		TRY(want(s, it));
		if (it->state == TASK_FINISHED)
			continue;
		vec_push_copy(&it->users, &t);
		t->missing++;
	}
	if (t->missing) {
		s->waiting++;
		return NULL;
	}
	t->state = TASK_READY;
	s->ready++;
	return NULL;
}

/* Steps that need no run are told before the first one runs, in the order of the file. */
static void tell_plan(struct solve *s)
{
	uint64_t total = 0;

	for (size_t i = 0; i < s->result->count; i++)
		total += !node_label(s->result->tasks[i].out.node)->hidden;
	event_emit(s->opt->events, (struct event){.type = EVENT_PLAN, .total = total});
	for (size_t i = 0; i < s->result->count; i++) {
		struct task *t = &s->result->tasks[i];
		if (t->out.cached && (t->state == TASK_FINISHED || t->state == TASK_IMPLIED))
			task_emit(s, t, (struct event){.type = EVENT_CACHED});
	}
}

struct err *solve_plan(struct solve *s, struct node *const *targets, size_t count)
{
	TRY(pin_sources(s));
	for (size_t i = 0; i < s->result->count; i++) {
		TRY(cancel_check(s->opt->cancel));
		struct err *e = task_key(s, &s->result->tasks[i]);
		if (e)
			return task_failed(s, &s->result->tasks[i], e, 0);
	}
	if (s->opt->evaluate)
		return NULL;
	for (size_t i = 0; i < count; i++)
		if (targets[i])
			TRY(want(s, solve_task(s->result, targets[i])));
	for (size_t i = 0; i < s->result->count; i++) {
		struct task *t = &s->result->tasks[i];
		if (t->state == TASK_FINISHED)
			for (size_t j = 0; j < node_input_count(t->out.node); j++)
				if (node_input(t->out.node, j))
					mark_implied(s, solve_task(s->result, node_input(t->out.node, j)));
	}
	tell_plan(s);
	return NULL;
}
