/* SPDX-License-Identifier: Apache-2.0 */
#include "release/evaluate.h"

#include "base/map.h"
#include "base/mem.h"
#include "release/release_internal.h"
#include "store/store.h"

#include <string.h>

struct err *release_evaluate(struct engine *e, const struct release_request *rq,
	const struct release_plan *plan, const struct release_job *j, struct evaluation *out)
{
	AUTO(job_request_fini) struct job_request r;
	struct err *failed;

	job_request_make(rq, plan, j, &r);
	/* Nothing of it is run, so nobody has to allow it. */
	r.docker.allow_insecure = true;
	if (j->kind == KIND_NIX)
		failed = nix_job_evaluate(e, &r.nix, out);
	else if (j->kind == KIND_CONTAINER_PY)
		failed = pipeline_evaluate(e, &r.pipeline, out);
	else
		failed = engine_evaluate(e, &r.docker, out);
	if (!failed)
		release_note(e, out);
	return failed;
}

struct err *release_relabel(struct engine *e, const struct release_request *rq,
	const struct release_plan *plan, const struct release_job *j, const struct evaluation *evaluated,
	const struct digest *image, struct descriptor *out)
{
	AUTO(job_request_fini) struct job_request r;

	job_request_make(rq, plan, j, &r);
	return j->kind == KIND_NIX ? nix_job_relabel(e, &r.nix, evaluated, image, out)
				   : engine_relabel(e, evaluated, image, out);
}

/* ---- what was seen before ---- */

/* "local" record "inputs:<hex>"; more is not worth keeping. */
#define NOTE_MAX (4u << 20)

static void note_key(const struct digest *inputs, struct buf *out)
{
	char hex[DIGEST_TEXT_MAX];

	buf_addf(out, "inputs:%s", digest_hex(inputs, hex));
}

void release_note(struct engine *e, const struct evaluation *evaluation)
{
	AUTO_JSON json_t *o = evaluation_json(evaluation);
	AUTO_FREE char *text = json_dump(o, false);
	AUTO_BUF struct buf key = {0}, have = {0};
	bool found = false;

	note_key(&evaluation->inputs, &key);
	struct err *failed = store_record_get(engine_store(e), "local", buf_cstr(&key), &have, &found);
	if (!failed && !found && strlen(text) <= NOTE_MAX)
		failed = store_record_put(engine_store(e),
			&(struct store_record){"local", buf_cstr(&key), str_c(text), NULL, 0});
	err_ignore(failed, "it only explains");
}

struct err *release_recall(struct engine *e, const struct digest *inputs, struct evaluation *out, bool *found)
{
	AUTO_BUF struct buf key = {0}, text = {0};

	note_key(inputs, &key);
	TRY(store_record_get(engine_store(e), "local", buf_cstr(&key), &text, found));
	if (!*found)
		return NULL;
	struct err *failed = evaluation_parse(buf_str(&text), out);
	*found = !failed;
	err_ignore(failed, "an older form: it only explains");
	return NULL;
}

struct release_job *release_plan_job(const struct release_plan *p, bool nix)
{
	for (size_t i = 0; i < p->jobs.len; i++) {
		struct release_job *j = vec_at(&p->jobs, i);
		if ((j->kind == KIND_NIX) == nix)
			return j;
	}
	return NULL;
}

/* ---- main ---- */

struct main_builds {
	struct engine *engine;
	struct repo *repo;
	struct event_stream *events;
	const struct cancel *cancel;
	char *ref;
	struct commit commit;
	struct map *builds; /* "name" or "name/nix" -> struct main_build * */
};

static void free_build(void *p)
{
	struct main_build *b = p;

	release_plan_fini(&b->plan);
	evaluation_fini(&b->evaluation);
	mem_freep(&b->error);
	mem_freep(&b);
}

struct err *main_builds_open(struct engine *e, struct repo *r, struct event_stream *events,
	const struct cancel *cancel, struct main_builds **out)
{
	AUTO(main_builds_freep) struct main_builds *m = mem_new(struct main_builds);

	m->engine = e;
	m->repo = r;
	m->events = events;
	m->cancel = cancel;
	m->builds = map_new(free_build);
	TRY(repo_main_required(r, &m->ref, &m->commit));
	*out = steal(&m);
	return NULL;
}

void main_builds_free(struct main_builds *m)
{
	if (!m)
		return;
	mem_freep(&m->ref);
	commit_fini(&m->commit);
	map_free(m->builds);
	mem_freep(&m);
}

void main_builds_freep(struct main_builds **m)
{
	main_builds_free(*m);
	*m = NULL;
}

const char *main_builds_ref(const struct main_builds *m)
{
	return m->ref;
}

const struct commit *main_builds_commit(const struct main_builds *m)
{
	return &m->commit;
}

static struct err *no_job(const struct main_builds *m, const char *container, bool nix)
{
	return err_new(ERR_NOT_FOUND, "%s has %s on %s", container,
		nix ? "no default.nix" : "neither a container.py nor a Dockerfile", m->ref);
}

static struct release_request request_of(const struct main_builds *m, const char *container)
{
	return (struct release_request){
		.repo = m->repo,
		.name = container,
		.ref = m->commit.id,
		.unchecked = true,
		.events = m->events,
		.cancel = m->cancel,
	};
}

static struct err *plan_main(struct main_builds *m, const char *container, bool nix, struct main_build *b)
{
	const struct release_request rq = request_of(m, container);
	struct err *e = release_plan_make(&rq, &b->plan);

	if (err_kind(e) == ERR_NOT_FOUND)
		return err_wrap(e, "on %s", m->ref);
	TRY(e);
	b->job = release_plan_job(&b->plan, nix);
	return b->job ? NULL : no_job(m, container, nix);
}

/* Only a wish to stop is passed on. */
static struct err *settle(struct main_build *b, struct err *e)
{
	if (err_kind(e) == ERR_CANCELED)
		return e;
	if (e)
		b->error = err_text(e);
	err_free(e);
	return NULL;
}

struct err *main_builds_get(
	struct main_builds *m, const char *container, bool nix, const struct main_build **out)
{
	AUTO_FREE char *key = mem_printf("%s%s", container, nix ? "/nix" : "");
	struct main_build *b = map_get_c(m->builds, key);

	if (!b) {
		b = mem_new(struct main_build);
		evaluation_init(&b->evaluation);
		map_set_c(m->builds, key, b);
		TRY(settle(b, plan_main(m, container, nix, b)));
	}
	*out = b;
	return NULL;
}

struct err *main_builds_evaluate(struct main_builds *m, const struct main_build *build)
{
	struct main_build *b = (struct main_build *)(uintptr_t)build;

	if (!b->job || b->evaluated)
		return NULL;
	const struct release_request rq = request_of(m, b->plan.container.name);
	struct err *e = release_evaluate(m->engine, &rq, &b->plan, b->job, &b->evaluation);
	if (e && err_kind(e) != ERR_CANCELED)
		e = err_wrap(e, "on %s", m->ref);
	b->evaluated = true;
	return settle(b, e);
}
