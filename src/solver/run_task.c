/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/mem.h"
#include "solver/solve_internal.h"

/* How many earlier results of one operation are compared before it is simply run. */
#define CANDIDATES_MAX 8

static bool same_layers(const struct snapshot *a, const struct snapshot *b)
{
	if (a->layers.len != b->layers.len)
		return false;
	for (size_t i = 0; i < a->layers.len; i++)
		if (!cstr_eq(a->layers.ptr[i], b->layers.ptr[i]))
			return false;
	return true;
}

static const struct snapshot *input_snapshot(const struct solve *s, const struct task *t, size_t i)
{
	static const struct snapshot scratch;
	const struct node *in = node_input(t->out.node, i);

	return in ? &solve_task(s->result, in)->out.snapshot : &scratch;
}

/* Did the run that was recorded read the same content from input i as this one would? */
static struct err *same_input(
	struct solve *s, struct task *t, size_t i, const struct recorded_input *was, bool *same)
{
	const struct node *n = t->out.node;
	struct step_io io = task_io(s, t);
	struct digest now_digest, was_digest;
	bool usable = false;

	*same = false;
	if (input_is_read_in_place(n, i)) {
		TRY(s->ex->ops->content_digest(s->ex, n, i, NULL, &io, &now_digest));
		*same = digest_eq(&now_digest, &was->digest);
		return NULL;
	}
	const struct snapshot *now = input_snapshot(s, t, i);
	if (digest_is_set(&was->digest))
		return NULL;
	if (same_layers(now, &was->snapshot)) {
		*same = true;
		return NULL;
	}
	TRY(s->ex->ops->check(s->ex, &was->snapshot, &usable));
	if (!usable)
		return NULL;
	TRY(s->ex->ops->content_digest(s->ex, n, i, &was->snapshot, &io, &was_digest));
	TRY(s->ex->ops->content_digest(s->ex, n, i, now, &io, &now_digest));
	*same = digest_eq(&now_digest, &was_digest);
	return NULL;
}

/* FILE nodes stack a layer on their base: the recorded result holds the old base's layers, this one needs its
 * own. */
static bool rebase(
	const struct solve *s, const struct task *t, const struct recorded_run *run, struct snapshot *out)
{
	const struct recorded_input *base = run->inputs.len ? vec_at(&run->inputs, 0) : NULL;
	enum op_kind kind = node_op(t->out.node)->kind;

	if (!base || (kind != OP_FILE && kind != OP_EXEC)) {
		snapshot_copy(&run->result, out);
		return true;
	}
	size_t below = base->snapshot.layers.len;
	if (run->result.layers.len < below)
		return false;
	snapshot_copy(input_snapshot(s, t, 0), out);
	for (size_t i = below; i < run->result.layers.len; i++)
		strvec_push(&out->layers, run->result.layers.ptr[i]);
	return true;
}

static struct err *try_candidate(struct solve *s, struct task *t, const struct recorded_run *run, bool *hit)
{
	size_t count = node_input_count(t->out.node);
	bool same = run->inputs.len == count, usable = false;
	struct snapshot result = {0};

	for (size_t i = 0; same && i < count; i++)
		TRY(same_input(s, t, i, vec_at(&run->inputs, i), &same));
	if (!same || !rebase(s, t, run, &result)) {
		snapshot_fini(&result);
		return NULL;
	}
	struct err *e = s->ex->ops->check(s->ex, &result, &usable);
	if (e || !usable) {
		snapshot_fini(&result);
		return e;
	}
	t->out.snapshot = result;
	t->out.cached = true;
	*hit = true;
	return NULL;
}

/* Names the operation in records: runs under another salt made something else. */
static void salted_op(const struct solve *s, const struct task *t, struct digest *out)
{
	AUTO(hasher_freep) struct hasher *h = hasher_new(DIGEST_SHA256);

	*out = *node_op_digest(t->out.node);
	if (!s->opt->salt)
		return;
	hasher_add(h, out->bytes, digest_len(out->algo));
	hasher_add_field(h, str_c(s->opt->salt));
	hasher_finish(h, out);
}

static struct err *early_cutoff(struct solve *s, struct task *t, bool *hit)
{
	struct vec candidates = VEC_OF(struct recorded_run);
	struct digest op;

	salted_op(s, t, &op);
	struct err *e = record_candidates(s->store, &op, CANDIDATES_MAX, &candidates);

	for (size_t i = 0; i < candidates.len; i++) {
		struct recorded_run *run = vec_at(&candidates, i);
		if (!e && !*hit)
			e = try_candidate(s, t, run, hit);
		recorded_run_fini(run);
	}
	vec_fini(&candidates);
	return e;
}

static struct err *remember(struct solve *s, struct task *t)
{
	const struct node *n = t->out.node;
	struct recorded_run run = {.inputs = VEC_OF(struct recorded_input)};
	struct step_io io = task_io(s, t);
	struct digest op;
	struct err *e = NULL;

	salted_op(s, t, &op);
	snapshot_copy(&t->out.snapshot, &run.result);
	for (size_t i = 0; !e && i < node_input_count(n); i++) {
		struct recorded_input *in = vec_push(&run.inputs);
		if (input_is_read_in_place(n, i))
			e = s->ex->ops->content_digest(s->ex, n, i, NULL, &io, &in->digest);
		else
			snapshot_copy(input_snapshot(s, t, i), &in->snapshot);
	}
	if (!e)
		e = record_put(s->store, &op, &t->out.key, &run);
	recorded_run_fini(&run);
	return e;
}

static struct err *execute(struct solve *s, struct task *t)
{
	const struct node *n = t->out.node;
	size_t count = node_input_count(n);
	AUTO_FREE const struct snapshot **inputs = mem_array(count + 1, sizeof(*inputs));
	struct step_io io = task_io(s, t);

	for (size_t i = 0; i < count; i++)
		inputs[i] = input_is_read_in_place(n, i) ? NULL : input_snapshot(s, t, i);
	return s->ex->ops->run(s->ex, n, inputs, &io, &t->out.snapshot);
}

/* With the step's lock held: another process may have finished it while we waited. */
static struct err *find_or_execute(struct solve *s, struct task *t, bool waited)
{
	bool hit = false;

	if (task_may_use_cache(s, t)) {
		if (!t->tainted && (waited || !t->probed))
			TRY(task_lookup(s, t, &hit));
		if (!hit)
			TRY(early_cutoff(s, t, &hit));
		if (hit) {
			task_emit(s, t, (struct event){.type = EVENT_CACHED});
			return remember(s, t);
		}
	}
	int64_t start = clock_monotonic();
	task_emit(s, t, (struct event){.type = EVENT_STARTED});
	struct err *e = execute(s, t);
	int64_t took = clock_monotonic() - start;
	if (!e && !s->opt->isolated)
		e = remember(s, t);
	if (e)
		return task_failed(s, t, e, took);
	task_emit(s, t, (struct event){.type = EVENT_DONE, .duration = took});
	return NULL;
}

static struct err *fetch_source(struct solve *s, struct task *t)
{
	struct step_io io = task_io(s, t);
	int64_t start = clock_monotonic();

	task_emit(s, t, (struct event){.type = EVENT_STARTED});
	struct err *e = s->ex->ops->fetch(s->ex, t->out.node, &t->out.pin, &io, &t->out.snapshot);
	int64_t took = clock_monotonic() - start;
	if (e)
		return task_failed(s, t, e, took);
	task_emit(s, t, (struct event){.type = EVENT_DONE, .duration = took});
	return NULL;
}

struct err *task_run(struct solve *s, struct task *t)
{
	char key[DIGEST_TEXT_MAX];
	AUTO(store_unlockp) struct store_lock *lock = NULL;
	bool waited = false;

	if (task_is_source(t))
		return fetch_source(s, t);
	if (!task_may_use_cache(s, t))
		return find_or_execute(s, t, false);
	AUTO_FREE char *name = mem_printf("step:%s", digest_hex(&t->out.key, key));
	TRY(store_lock(s->store, name, false, s->cancel, &waited, &lock));
	/* The plan's look-up was made without the lock: somebody may have come and gone in between. */
	t->probed = false;
	return find_or_execute(s, t, waited);
}
