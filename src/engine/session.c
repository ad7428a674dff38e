/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/mem.h"
#include "engine/session_internal.h"

#include <string.h>

void session_output_fini(struct session_output *o)
{
	buf_fini(&o->out);
	buf_fini(&o->err);
	buf_fini(&o->both);
}

struct failure {
	const struct node *node;
	struct session_output output;
};

static void free_failure(void *p)
{
	struct failure *f = p;

	session_output_fini(&f->output);
	mem_freep(&f);
}

static void free_secret(void *p)
{
	struct buf *b = p;

	if (b->ptr)
		explicit_bzero(b->ptr, b->cap);
	buf_fini(b);
	mem_freep(&p);
}

static void free_pin(void *p)
{
	source_pin_fini(p);
	mem_freep(&p);
}

/* ---- what programs write ---- */

/* Kept with the layer that the program made: whoever finds the layer in the cache finds these. */
static void output_key(const char *layer, struct buf *out)
{
	buf_addf(out, "output:%s", layer);
}

static struct err *keep_output(struct session *s, const struct exec_output *o)
{
	AUTO_JSON json_t *value = json_object();
	AUTO_BUF struct buf key = {0};
	char out[DIGEST_TEXT_MAX], err[DIGEST_TEXT_MAX], both[DIGEST_TEXT_MAX];
	struct digest d;

	TRY(store_blob_put(s->engine->store, o->out.ptr ? o->out.ptr : "", o->out.len, &d));
	digest_text(&d, out);
	TRY(store_blob_put(s->engine->store, o->err.ptr ? o->err.ptr : "", o->err.len, &d));
	digest_text(&d, err);
	TRY(store_blob_put(s->engine->store, o->both.ptr ? o->both.ptr : "", o->both.len, &d));
	digest_text(&d, both);
	json_object_set_new(value, "code", json_integer(o->code));
	json_set_text(value, "stdout", out);
	json_set_text(value, "stderr", err);
	json_set_text(value, "both", both);
	AUTO_FREE char *text = json_dump(value, false);
	const struct store_ref refs[] = {{STORE_REF_BLOB, out}, {STORE_REF_BLOB, err}, {STORE_REF_BLOB, both},
		{STORE_REF_LAYER, o->layer}};
	output_key(o->layer, &key);
	return store_record_put(s->engine->store,
		&(struct store_record){"local", buf_cstr(&key), str_c(text), refs, ARRAY_LEN(refs)});
}

static void keep_failure(struct session *s, const struct node *n, const struct exec_output *o)
{
	char key[DIGEST_TEXT_MAX];
	struct failure *kept = mem_new(struct failure);

	kept->node = n;
	kept->output.code = o->code;
	buf_addstr(&kept->output.out, o->out);
	buf_addstr(&kept->output.err, o->err);
	pthread_mutex_lock(&s->lock);
	map_set_c(s->failures, digest_text(node_digest(n), key), kept);
	pthread_mutex_unlock(&s->lock);
}

static void on_captured(void *ctx, const struct node *n, const struct exec_output *o)
{
	struct session *s = ctx;
	char key[DIGEST_TEXT_MAX];

	if (!o->layer) {
		keep_failure(s, n, o);
		return;
	}
	pthread_mutex_lock(&s->lock);
	map_remove(s->failures, str_c(digest_text(node_digest(n), key)));
	pthread_mutex_unlock(&s->lock);
	err_ignore(keep_output(s, o), "who asks for the output runs the program again");
}

static struct err *blob_text(struct session *s, const json_t *o, const char *key, struct buf *out)
{
	struct digest d;

	TRY(digest_parse(str_c(json_string_value(json_object_get(o, key))), &d));
	return store_blob_read(s->engine->store, &d, (size_t)1 << 30, out);
}

static struct err *find_output(
	struct session *s, const struct snapshot *made, struct session_output *out, bool *found)
{
	AUTO_BUF struct buf key = {0}, value = {0};
	AUTO_JSON json_t *o = NULL;

	*found = false;
	if (!made->layers.len)
		return NULL;
	output_key(made->layers.ptr[made->layers.len - 1], &key);
	TRY(store_record_get(s->engine->store, "local", buf_cstr(&key), &value, found));
	if (!*found)
		return NULL;
	TRY(json_parse(buf_str(&value), "output record", &o));
	out->code = (int)json_integer_value(json_object_get(o, "code"));
	TRY(blob_text(s, o, "stdout", &out->out));
	TRY(blob_text(s, o, "both", &out->both));
	return blob_text(s, o, "stderr", &out->err);
}

/* ---- secrets ---- */

void session_set_secret(struct session *s, const char *id, struct str value)
{
	struct buf *b = mem_new(struct buf);

	buf_addstr(b, value);
	pthread_mutex_lock(&s->lock);
	map_set_c(s->secrets, id, b);
	pthread_mutex_unlock(&s->lock);
}

struct err *session_secret(struct session *s, const char *id, struct buf *out, bool *found)
{
	pthread_mutex_lock(&s->lock);
	const struct buf *b = map_get_c(s->secrets, id);
	*found = b != NULL;
	if (b)
		buf_addstr(out, buf_str(b));
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static struct err *secret_lookup(void *ctx, const char *id, struct buf *out, bool *found)
{
	return session_secret(ctx, id, out, found);
}

/* ---- events ---- */

/* A step is looked up again for everything that is asked of what it made. */
static void pass_event(void *ctx, const struct event *e)
{
	struct session *s = ctx;

	if (e->type == EVENT_CACHED || e->type == EVENT_STARTED) {
		while (s->told.len <= e->step)
			vec_push(&s->told);
		enum told *told = vec_at(&s->told, e->step);
		if (*told && e->type == EVENT_CACHED)
			return;
		if (*told != TOLD_RUN)
			*told = e->type == EVENT_STARTED ? TOLD_RUN : TOLD_CACHED;
	}
	event_emit(s->opt.events, *e);
}

/* ---- life ---- */

static struct err *make_executor(struct session *s)
{
	struct engine *eng = s->engine;
	struct remote *remote = NULL;

	TRY(engine_remote(eng, &remote));
	const struct sandbox_executor_options opt = {
		.store = eng->store,
		.remote = remote,
		.host = engine_host_settings(eng),
		.epoch = s->epoch,
		.captured = on_captured,
		.captured_ctx = s,
		.secret_lookup = secret_lookup,
		.secret_ctx = s,
		.host_dirs = true,
	};
	return sandbox_executor_new(&opt, &s->ex);
}

struct err *session_open(struct engine *e, const struct session_options *opt, struct session **out)
{
	AUTO(session_closep) struct session *s = mem_new(struct session);
	bool given = false;

	s->engine = e;
	s->opt = *opt;
	pthread_mutex_init(&s->lock, NULL);
	clock_cond_init(&s->pinned);
	s->graph = graph_new();
	s->told = VEC_OF(enum told);
	s->events = event_stream_new();
	event_stream_add(s->events, pass_event, s);
	s->pins = map_new(free_pin);
	s->pinning = map_new(NULL);
	s->secrets = map_new(free_secret);
	s->failures = map_new(free_failure);
	s->rq = (struct build_request){
		.no_cache = opt->no_cache, .jobs = opt->jobs, .pull = opt->pull, .events = s->events};
	TRY(engine_source_date_epoch(&s->rq, &s->epoch, &given));
	s->created = opt->created && !given ? opt->created : s->epoch;
	TRY(make_executor(s));
	build_warn_one_id(&s->rq);
	*out = steal(&s);
	return NULL;
}

void session_close(struct session *s)
{
	if (!s)
		return;
	sandbox_executor_free(s->ex);
	graph_free(s->graph);
	event_stream_free(s->events);
	vec_fini(&s->told);
	map_free(s->pins);
	map_free(s->pinning);
	map_free(s->secrets);
	map_free(s->failures);
	pthread_cond_destroy(&s->pinned);
	pthread_mutex_destroy(&s->lock);
	mem_freep(&s);
}

void session_closep(struct session **s)
{
	session_close(*s);
	*s = NULL;
}

struct store *session_store(struct session *s)
{
	return s->engine->store;
}

int64_t session_created(const struct session *s)
{
	return s->created;
}

struct err *session_node(struct session *s, const struct op *op, struct node *const *inputs,
	size_t input_count, const struct node_label *label, struct node **out)
{
	pthread_mutex_lock(&s->lock);
	struct err *e = graph_node(s->graph, op, inputs, input_count, label, out);
	pthread_mutex_unlock(&s->lock);
	return e;
}

/* The pins so far: the session's own change while a solve reads these. */
static struct map *pins_so_far(struct session *s)
{
	struct map *copy = map_new(NULL);
	struct str key;
	void *pin;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; map_next(s->pins, &i, &key, &pin);)
		map_set(copy, key, pin);
	pthread_mutex_unlock(&s->lock);
	return copy;
}

void session_build_fini(struct build *b)
{
	map_freep(&b->pins);
}

struct build session_build(struct session *s, const struct build_request *rq)
{
	return (struct build){
		.engine = s->engine,
		.rq = rq,
		.ex = s->ex,
		.graph = s->graph,
		.epoch = s->epoch,
		.created = s->created,
		.pins = pins_so_far(s),
	};
}

/* ---- solving ---- */

/* The digest of a program that failed among n and what it is made from. */
static bool failed_below(struct session *s, const struct node *n, char out[DIGEST_TEXT_MAX])
{
	struct vec stack = VEC_OF(const struct node *);
	AUTO(map_freep) struct map *seen = map_new(NULL);
	bool found = false;

	vec_push_copy(&stack, &n);
	while (stack.len && !found) {
		const struct node *at = *(const struct node **)vec_at(&stack, stack.len - 1);
		vec_remove(&stack, stack.len - 1);
		digest_text(node_digest(at), out);
		if (map_has(seen, str_c(out)))
			continue;
		map_set_c(seen, out, s);
		found = map_has(s->failures, str_c(out));
		for (size_t i = 0; i < node_input_count(at); i++) {
			const struct node *in = node_input(at, i);
			if (in)
				vec_push_copy(&stack, &in);
		}
	}
	vec_fini(&stack);
	return found;
}

struct err *session_blame(struct session *s, const struct node *n, struct err *e)
{
	char subject[DIGEST_TEXT_MAX];

	if (!n || err_kind(e) != ERR_EXITED)
		return e;
	pthread_mutex_lock(&s->lock);
	bool found = failed_below(s, n, subject);
	pthread_mutex_unlock(&s->lock);
	return found ? err_with_subject(e, subject) : e;
}

static struct err *solve_fresh(
	struct session *s, struct node *n, bool no_cache, const struct cancel *cancel, struct snapshot *out)
{
	struct build_request rq = s->rq;
	AUTO(solve_result_freep) struct solve_result *solved = NULL;

	rq.cancel = cancel;
	rq.no_cache = rq.no_cache || no_cache;
	AUTO(session_build_fini) struct build b = session_build(s, &rq);
	struct err *e = build_solve(&b, n, NULL, &solved);
	if (e)
		return session_blame(s, n, e);
	snapshot_copy(&solve_result_node(solved, n)->snapshot, out);
	return NULL;
}

struct err *session_solve(
	struct session *s, struct node *n, const struct cancel *cancel, struct snapshot *out)
{
	return n ? solve_fresh(s, n, false, cancel, out) : cancel_check(cancel);
}

struct err *session_exec_output(
	struct session *s, struct node *n, const struct cancel *cancel, struct session_output *out)
{
	AUTO(snapshot_fini) struct snapshot made = {0}, again = {0};
	bool found;

	TRY(session_solve(s, n, cancel, &made));
	TRY(find_output(s, &made, out, &found));
	if (found)
		return NULL;
	/* It ran for somebody who did not keep what it wrote. */
	TRY(solve_fresh(s, n, true, cancel, &again));
	TRY(find_output(s, &again, out, &found));
	return found ? NULL : err_new(ERR_BUG, "the output of \"%s\" was not kept", node_label(n)->name);
}

void session_failure(
	struct session *s, const char *subject, const struct node **failed, struct session_output *out)
{
	*failed = NULL;
	pthread_mutex_lock(&s->lock);
	const struct failure *f = subject ? map_get_c(s->failures, subject) : NULL;
	if (f) {
		*failed = f->node;
		out->code = f->output.code;
		buf_addstr(&out->out, buf_str(&f->output.out));
		buf_addstr(&out->err, buf_str(&f->output.err));
	}
	pthread_mutex_unlock(&s->lock);
}

struct err *session_view(struct session *s, struct node *n, const struct cancel *cancel, int *fd)
{
	AUTO(snapshot_fini) struct snapshot made = {0};
	const struct step_io io = {0, s->events, cancel};

	TRY(session_solve(s, n, cancel, &made));
	return snapshot_view(s->ex, &made, &io, fd);
}

struct err *session_export_dir(
	struct session *s, struct node *n, const char *dir, const struct cancel *cancel)
{
	AUTO(snapshot_fini) struct snapshot made = {0};
	const struct step_io io = {0, s->events, cancel};

	TRY(session_solve(s, n, cancel, &made));
	return snapshot_export_dir(s->ex, &made, dir, &io);
}

struct err *session_digest(
	struct session *s, struct node *n, const char *path, const struct cancel *cancel, struct digest *out)
{
	AUTO(snapshot_fini) struct snapshot made = {0};
	const struct step_io io = {0, s->events, cancel};

	TRY(session_solve(s, n, cancel, &made));
	return snapshot_digest(s->ex, &made, path, &io, out);
}

struct err *session_scratch(struct session *s, char **path)
{
	return store_scratch(s->engine->store, path);
}

struct err *session_gc(struct session *s)
{
	struct store_gc_options opt = {0};
	struct store_gc_result done = {0};

	engine_gc_defaults(s->engine, &opt);
	return store_gc(s->engine->store, &opt, NULL, &done);
}
