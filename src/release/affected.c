/* SPDX-License-Identifier: Apache-2.0 */
#include "release/affected.h"

#include "base/mem.h"
#include "release/evaluate.h"
#include "release/release.h"

#include <string.h>

const char *affected_state_name(enum affected_state s)
{
	static const char *const names[] = {"unaffected", "changed", "new", "unknown"};

	return names[s];
}

static void build_fini(struct affected_build *b)
{
	mem_freep(&b->container);
	input_changes_fini(&b->changes);
	mem_freep(&b->error);
}

void affected_fini(struct affected *a)
{
	for (size_t i = 0; i < a->builds.len; i++)
		build_fini(vec_at(&a->builds, i));
	vec_fini(&a->builds);
	commit_fini(&a->base);
	commit_fini(&a->head);
	mem_freep(&a->base_is);
	strvec_fini(&a->gone);
	strvec_fini(&a->dirty);
	*a = (struct affected){0};
}

/* ---- the two commits ---- */

static struct err *find_head(const struct affected_request *rq, struct affected *out)
{
	bool dirty = false;

	if (rq->work_tree)
		return repo_commit_of_work_tree(rq->repo, &out->head);
	TRY(repo_resolve(rq->repo, rq->head ? rq->head : "HEAD", &out->head));
	return rq->head ? NULL : repo_dirty(rq->repo, "", &dirty, &out->dirty);
}

static struct err *no_ancestor(const struct affected_request *rq, const struct affected *a, const char *main)
{
	struct err *e =
		err_new(ERR_NOT_FOUND, "%s and %s have no common ancestor here", a->head.short_id, main);

	if (repo_shallow(rq->repo))
		return err_hint(
			e, "this clone is shallow: git fetch --unshallow, or name a commit with --base");
	return err_hint(e, "name a commit with --base");
}

static struct err *before_head(const struct affected_request *rq, const char *main, struct affected *out)
{
	bool found = false;

	TRY(repo_parent(rq->repo, &out->head, &out->base, &found));
	out->base_is = found ? mem_printf("the commit before it, as it is on %s", main)
			     : mem_strdup("nothing: it is the first commit");
	return NULL;
}

static struct err *find_base(const struct affected_request *rq, struct affected *out)
{
	AUTO(repo_config_fini) struct repo_config cfg = {0};
	AUTO(commit_fini) struct commit main = {0};
	AUTO_FREE char *name = NULL;
	bool found = false;

	if (rq->base) {
		out->base_is = mem_strdup("as asked for");
		return repo_resolve(rq->repo, rq->base, &out->base);
	}
	/* What the work tree calls main. */
	TRY(repo_config_load(rq->repo, NULL, &cfg));
	struct err *e = repo_main_required(rq->repo, &name, &main);
	if (e)
		return err_hint(e, "git fetch, or name a commit with --base");
	TRY(repo_merge_base(rq->repo, &out->head, &main, &out->base, &found));
	if (!found)
		return no_ancestor(rq, out, name);
	if (!cstr_eq(out->base.id, out->head.id)) {
		out->base_is = mem_printf("where it left %s", name);
		return NULL;
	}
	commit_fini(&out->base);
	return before_head(rq, name, out);
}

/* ---- one container ---- */

struct comparing {
	struct engine *engine;
	const struct affected_request *rq;
	struct affected *out;
	struct vec base, head; /* of struct container: what there is to choose from */
};

static struct err *plan_at(struct comparing *c, const char *name, const struct commit *at,
	struct release_request *rq, struct release_plan *out)
{
	*rq = (struct release_request){
		.repo = c->rq->repo,
		.name = name,
		.ref = at->id,
		.unchecked = true,
		.events = c->rq->events,
		.cancel = c->rq->cancel,
	};
	return release_plan_make(rq, out);
}

static struct err *evaluate_at(struct comparing *c, const struct release_plan *p, const struct release_job *j,
	struct evaluation *out)
{
	const struct release_request rq = {
		.repo = c->rq->repo,
		.name = p->container.name,
		.ref = p->commit.id,
		.unchecked = true,
		.events = c->rq->events,
		.cancel = c->rq->cancel,
	};
	struct err *e = release_evaluate(c->engine, &rq, p, j, out);

	return e && err_kind(e) != ERR_CANCELED ? err_wrap(e, "at %s", p->commit.short_id) : e;
}

/* A Dockerfile's build sees its folder and nothing else of the repository. */
static struct err *same_folder(struct comparing *c, const struct release_plan *base,
	const struct release_job *bj, const struct release_plan *head, const struct release_job *hj,
	bool *same)
{
	char a[41], b[41];

	*same = false;
	if (bj->kind != KIND_DOCKERFILE || hj->kind != KIND_DOCKERFILE ||
		!cstr_eq(base->container.dir, head->container.dir))
		return NULL;
	TRY(repo_object_at(c->rq->repo, &base->commit, base->container.dir, a));
	TRY(repo_object_at(c->rq->repo, &head->commit, head->container.dir, b));
	*same = *a && cstr_eq(a, b);
	return NULL;
}

/* What could not be built has no image that would be the same. */
static struct err *broken_at_base(
	struct err *e, const struct container *ct, enum build_kind kind, struct affected_build *b)
{
	if (err_kind(e) == ERR_CANCELED)
		return e;
	AUTO_FREE char *why = err_text(e);
	struct input_change *change = vec_push(&b->changes);

	err_free(e);
	change->kind = INPUT_SCRIPT;
	change->name = mem_printf("%s/%s", ct->dir, build_kind_file(kind));
	change->text = mem_printf("could not be evaluated before: %s", why);
	b->state = AFFECTED_CHANGED;
	return NULL;
}

static struct err *compare(struct comparing *c, const struct release_plan *base, const struct release_job *bj,
	const struct release_plan *head, const struct release_job *hj, struct affected_build *b)
{
	AUTO(evaluation_fini) struct evaluation from, to;
	bool same = false;

	evaluation_init(&from);
	evaluation_init(&to);
	TRY(same_folder(c, base, bj, head, hj, &same));
	if (same)
		return NULL;
	TRY(evaluate_at(c, head, hj, &to));
	struct err *e = evaluate_at(c, base, bj, &from);
	if (e)
		return broken_at_base(e, &base->container, bj->kind, b);
	b->base_inputs = from.inputs;
	b->head_inputs = to.inputs;
	evaluation_compare(&from, &to, &b->changes);
	if (!digest_eq(&from.inputs, &to.inputs))
		b->state = AFFECTED_CHANGED;
	return NULL;
}

static struct err *compare_new(struct comparing *c, const struct release_plan *head,
	const struct release_job *hj, bool container_is_new, struct affected_build *b)
{
	AUTO(evaluation_fini) struct evaluation e;
	struct input_change *change = vec_push(&b->changes);

	evaluation_init(&e);
	change->kind = INPUT_SCRIPT;
	change->name = mem_printf("%s/%s", head->container.dir, build_kind_file(hj->kind));
	change->text = container_is_new ? mem_strdup("new container") : mem_printf("%s is new", change->name);
	b->state = AFFECTED_NEW;
	TRY(evaluate_at(c, head, hj, &e));
	b->head_inputs = e.inputs;
	return NULL;
}

/* Only a wish to stop is passed on: what cannot be told of one container must not hide the others. */
static struct err *settle(struct affected_build *b, struct err *e)
{
	if (!e || err_kind(e) == ERR_CANCELED)
		return e;
	b->state = AFFECTED_UNTOLD;
	b->error = err_text(e);
	err_free(e);
	return NULL;
}

static struct affected_build *add_build(struct comparing *c, const char *name, enum build_kind kind)
{
	struct affected_build *b = vec_push(&c->out->builds);

	*b = (struct affected_build){
		.container = mem_strdup(name), .kind = kind, .changes = VEC_OF(struct input_change)};
	return b;
}

static struct err *compare_jobs(
	struct comparing *c, const struct release_plan *base, const struct release_plan *head)
{
	for (size_t i = 0; i < head->jobs.len; i++) {
		const struct release_job *hj = vec_at(&head->jobs, i);
		const struct release_job *bj = base ? release_plan_job(base, hj->kind == KIND_NIX) : NULL;
		struct affected_build *b = add_build(c, head->container.name, hj->kind);
		struct err *e = bj ? compare(c, base, bj, head, hj, b) : compare_new(c, head, hj, !base, b);
		TRY(settle(b, e));
	}
	return NULL;
}

static const struct container *find(const struct vec *list, const char *name)
{
	for (size_t i = 0; i < list->len; i++)
		if (cstr_eq(((const struct container *)vec_at(list, i))->name, name))
			return vec_at(list, i);
	return NULL;
}

static enum build_kind first_kind(const struct container *c)
{
	return c->has[KIND_CONTAINER_PY] ? KIND_CONTAINER_PY
	       : c->has[KIND_DOCKERFILE] ? KIND_DOCKERFILE
					 : KIND_NIX;
}

static struct err *compare_container(struct comparing *c, const struct container *ct)
{
	AUTO(release_plan_fini) struct release_plan base = {0}, head = {0};
	struct release_request rq;
	bool was_there = find(&c->base, ct->name);
	struct err *e = plan_at(c, ct->name, &c->out->head, &rq, &head);

	if (!e && was_there)
		e = plan_at(c, ct->name, &c->out->base, &rq, &base);
	if (e)
		return settle(add_build(c, ct->name, first_kind(ct)), e);
	return compare_jobs(c, was_there ? &base : NULL, &head);
}

/* ---- all ---- */

static struct err *containers_at(const struct affected_request *rq, const struct commit *at,
	struct event_stream *events, struct vec *out)
{
	AUTO(repo_config_fini) struct repo_config cfg = {0};

	if (!*at->id)
		return NULL;
	TRY(repo_config_load(rq->repo, at, &cfg));
	return repo_containers(rq->repo, &cfg, at, events, out);
}

static struct err *unknown_name(const struct comparing *c, const char *name)
{
	AUTO_BUF struct buf list = {0};

	for (size_t i = 0; i < c->head.len; i++)
		buf_addf(&list, "%s%s", i ? ", " : "", ((struct container *)vec_at(&c->head, i))->name);
	return err_hint(
		err_new(ERR_NOT_FOUND, "there is no container \"%s\" at %s", name, c->out->head.short_id),
		"there are: %s", list.len ? buf_cstr(&list) : "none");
}

static struct err *check_names(const struct comparing *c)
{
	for (size_t i = 0; c->rq->names && i < c->rq->names->len; i++) {
		const char *name = c->rq->names->ptr[i];
		if (!find(&c->head, name) && !find(&c->base, name))
			return unknown_name(c, name);
	}
	return NULL;
}

static bool wanted(const struct comparing *c, const char *name)
{
	return !c->rq->names || !c->rq->names->len || strvec_has(c->rq->names, name);
}

static struct err *compare_all(struct comparing *c)
{
	TRY(containers_at(c->rq, &c->out->base, NULL, &c->base));
	TRY(containers_at(c->rq, &c->out->head, c->rq->events, &c->head));
	TRY(check_names(c));
	for (size_t i = 0; i < c->head.len; i++) {
		const struct container *ct = vec_at(&c->head, i);
		if (wanted(c, ct->name))
			TRY(compare_container(c, ct));
	}
	for (size_t i = 0; i < c->base.len; i++) {
		const struct container *ct = vec_at(&c->base, i);
		if (wanted(c, ct->name) && !find(&c->head, ct->name))
			strvec_push(&c->out->gone, ct->name);
	}
	return NULL;
}

static void containers_fini(struct vec *v)
{
	for (size_t i = 0; i < v->len; i++)
		container_fini(vec_at(v, i));
	vec_fini(v);
}

struct err *affected_find(struct engine *e, const struct affected_request *rq, struct affected *out)
{
	AUTO(affected_fini) struct affected a = {.builds = VEC_OF(struct affected_build)};
	struct comparing c = {e, rq, &a, VEC_OF(struct container), VEC_OF(struct container)};

	TRY(find_head(rq, &a));
	TRY(find_base(rq, &a));
	struct err *failed = compare_all(&c);
	containers_fini(&c.base);
	containers_fini(&c.head);
	TRY(failed);
	*out = a;
	a = (struct affected){0};
	return NULL;
}
