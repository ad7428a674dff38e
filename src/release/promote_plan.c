/* SPDX-License-Identifier: Apache-2.0 */
/* Which pins are not from main, and of which images. */
#include "base/mem.h"
#include "release/promote_internal.h"
#include "remote/parallel.h"

#include <string.h>

const char *promote_action_name(enum promote_action a)
{
	static const char *const names[] = {"pin", "retag", "rebuild"};

	return names[a];
}

static void pin_state_fini(struct promote_pin *p)
{
	mem_freep(&p->reason);
	mem_freep(&p->version);
	mem_freep(&p->unread);
	mem_freep(&p->error);
}

static void promotion_fini(struct promotion *p)
{
	for (size_t i = 0; i < p->pins.len; i++)
		pin_state_fini(vec_at(&p->pins, i));
	vec_fini(&p->pins);
	input_changes_fini(&p->changes);
	mem_freep(&p->container);
	mem_freep(&p->reference);
	mem_freep(&p->tag);
	mem_freep(&p->why);
	mem_freep(&p->error);
}

void promote_report_fini(struct promote_report *r)
{
	for (size_t i = 0; i < r->promotions.len; i++)
		promotion_fini(vec_at(&r->promotions, i));
	vec_fini(&r->promotions);
	for (size_t i = 0; i < r->left.len; i++)
		mem_freep(&((struct promote_left *)vec_at(&r->left, i))->why);
	vec_fini(&r->left);
	manifest_scan_fini(&r->scan);
	mem_freep(&r->main);
	commit_fini(&r->tip);
	mem_freep(&r->ahead);
	strvec_fini(&r->uncommitted);
	repo_config_fini(&r->config);
	main_builds_free(r->builds);
	*r = (struct promote_report){0};
}

bool promotion_stands(const struct promotion *p)
{
	for (size_t i = 0; !p->error && i < p->pins.len; i++)
		if (!((const struct promote_pin *)vec_at(&p->pins, i))->error)
			return true;
	return false;
}

bool promotion_changed(const struct promotion *p)
{
	for (size_t i = 0; i < p->pins.len; i++)
		if (((const struct promote_pin *)vec_at(&p->pins, i))->changed)
			return true;
	return false;
}

char *promote_error_text(const struct err *e)
{
	AUTO_FREE char *text = err_text(e);
	const char *hint = err_hint_text(e);

	return mem_printf("%s%s%s%s", text, hint ? " (" : "", hint ? hint : "", hint ? ")" : "");
}

/* ---- HEAD and main ---- */

static struct err *check_head(const struct promote_request *rq, struct promote_report *r)
{
	AUTO(commit_fini) struct commit head = {0}, base = {0};
	bool found = false;

	TRY(repo_resolve(rq->repo, "HEAD", &head));
	if (cstr_eq(head.id, r->tip.id))
		return NULL;
	TRY(repo_merge_base(rq->repo, &head, &r->tip, &base, &found));
	if (!found || !cstr_eq(base.id, r->tip.id))
		return err_hint(err_new(ERR_INVALID,
					"HEAD (%s) does not have what %s has (%s \"%s\"), so these are not "
					"main's manifests",
					head.short_id, r->main, r->tip.short_id, r->tip.subject),
			"switch to main and pull");
	r->ahead =
		mem_printf("HEAD (%s) has commits that %s (%s) has not: they are not promoted; git push, or "
			   "git fetch if they are there",
			head.short_id, r->main, r->tip.short_id);
	return NULL;
}

/* ---- pins ---- */

/* A pin on the way. */
struct looked {
	const struct pin *pin;
	struct trace trace;
	struct image_facts facts;
	struct err *unread;
	bool wanted;
};

struct looking {
	const struct promote_request *rq;
	struct promote_report *report;
	struct looked *pins;
	size_t count;
};

static void looking_fini(struct looking *l)
{
	for (size_t i = 0; i < l->count; i++) {
		trace_fini(&l->pins[i].trace);
		err_free(l->pins[i].unread);
	}
	mem_freep(&l->pins);
}

static bool wanted(const struct promote_request *rq, const struct pin *p)
{
	return !rq->names || !rq->names->len || strvec_has(rq->names, p->name);
}

static struct err *check_names(const struct promote_request *rq, const struct promote_report *r)
{
	for (size_t i = 0; rq->names && i < rq->names->len; i++) {
		bool found = false;
		for (size_t k = 0; k < r->scan.pins.len && !found; k++)
			found = cstr_eq(
				((const struct pin *)vec_at(&r->scan.pins, k))->name, rq->names->ptr[i]);
		if (!found)
			return err_hint(
				err_new(ERR_NOT_FOUND, "no manifest names an image of %s", rq->names->ptr[i]),
				"\"cooper list\" shows what is pinned where");
	}
	return NULL;
}

static struct err *trace_by_tag(struct looking *l)
{
	AUTO_FREE const char **tags = mem_array(l->count + 1, sizeof(*tags));
	AUTO_FREE struct trace *traces = mem_array(l->count + 1, sizeof(*traces));

	for (size_t i = 0; i < l->count; i++)
		tags[i] = l->pins[i].pin->tag;
	TRY(trace_tags(l->rq->repo, tags, traces, l->count));
	for (size_t i = 0; i < l->count; i++)
		l->pins[i].trace = traces[i];
	return NULL;
}

static struct err *look(void *ctx, size_t i, const struct transfer_io *io)
{
	struct looking *l = ctx;
	struct looked *p = &l->pins[i];
	AUTO(reference_fini) struct reference ref = {0};

	if (!p->wanted || (p->pin->problem && !p->pin->repairable && !p->pin->readable))
		return NULL;
	/* Of the two it is the digest that is pulled. */
	AUTO_FREE char *name = mem_printf("%s%s%s", p->pin->image, p->pin->digest ? "@" : ":",
		p->pin->digest ? p->pin->digest
		: p->pin->tag  ? p->pin->tag
			       : "latest");
	struct err *e = reference_parse(name, false, &ref);
	if (!e)
		e = image_facts_read(l->rq->engine, !l->report->config.registry, &ref, io, &p->facts);
	if (err_kind(e) == ERR_CANCELED)
		return e;
	p->unread = e;
	memcpy(p->trace.revision, p->facts.revision, sizeof(p->trace.revision));
	return NULL;
}

static struct err *trace_by_label(struct looking *l)
{
	AUTO_FREE struct trace **traces = mem_array(l->count + 1, sizeof(*traces));

	for (size_t i = 0; i < l->count; i++)
		traces[i] = &l->pins[i].trace;
	return trace_labels(l->rq->repo, traces, l->count);
}

/* Takes why. */
static void leave(struct promote_report *r, const struct pin *p, char *why)
{
	struct promote_left *left = vec_push(&r->left);

	left->pin = p;
	left->why = why;
}

static struct promotion *promotion_of(struct promote_report *r, const char *container, bool nix)
{
	for (size_t i = 0; i < r->promotions.len; i++) {
		struct promotion *p = vec_at(&r->promotions, i);
		if (cstr_eq(p->container, container) && p->nix == nix)
			return p;
	}
	struct promotion *p = vec_push(&r->promotions);
	*p = (struct promotion){
		.container = mem_strdup(container),
		.nix = nix,
		.pins = VEC_OF(struct promote_pin),
		.changes = VEC_OF(struct input_change),
	};
	return p;
}

/*
 * Without a tag the image alone can tell which of the container's kinds it is: by its inputs. Where main has
 * one kind only there is no question.
 */
static struct err *kind_of(struct looking *l, const struct looked *p, bool *nix, bool *told)
{
	const struct main_build *plain = NULL, *of_nix = NULL;

	*told = true;
	*nix = p->pin->tag && cstr_ends(p->pin->tag, "-nix");
	if (p->pin->tag)
		return NULL;
	TRY(main_builds_get(l->report->builds, p->pin->name, false, &plain));
	TRY(main_builds_get(l->report->builds, p->pin->name, true, &of_nix));
	*nix = !plain->job && of_nix->job;
	if (!plain->job || !of_nix->job)
		return NULL;
	TRY(main_builds_evaluate(l->report->builds, plain));
	TRY(main_builds_evaluate(l->report->builds, of_nix));
	*nix = digest_is_set(&p->facts.inputs) && digest_eq(&of_nix->evaluation.inputs, &p->facts.inputs);
	*told = *nix ||
		(digest_is_set(&p->facts.inputs) && digest_eq(&plain->evaluation.inputs, &p->facts.inputs));
	return NULL;
}

static void hand_over(struct looked *from, struct promotion *to)
{
	struct promote_pin *p = vec_push(&to->pins);

	*p = (struct promote_pin){
		.pin = from->pin,
		.provenance = from->trace.provenance,
		.reason = steal(&from->trace.reason),
		.version = steal(&from->trace.version),
		.image = from->facts.image,
		.index = !digest_eq(&from->facts.image, &from->facts.digest),
		.inputs = from->facts.inputs,
		.unread = from->unread ? promote_error_text(from->unread) : NULL,
		.gone = err_kind(from->unread) == ERR_NOT_FOUND,
	};
	const char *commit = *from->trace.commit ? from->trace.commit : from->trace.revision;
	memcpy(p->commit, commit, sizeof(p->commit));
}

static struct err *sort_out(struct looking *l, struct looked *p)
{
	struct promote_report *r = l->report;
	bool nix = false, told = true;

	if (!p->wanted)
		return NULL;
	if (p->trace.provenance == PROVENANCE_MAIN) {
		r->from_main++;
		return NULL;
	}
	if (p->pin->problem && !p->pin->repairable) {
		leave(r, p->pin, mem_strdup(p->pin->problem));
		return NULL;
	}
	if (p->pin->form == PIN_ENV && !l->rq->env) {
		leave(r, p->pin, mem_strdup("it stands in a text of env or args: --env changes it, too"));
		return NULL;
	}
	TRY(kind_of(l, p, &nix, &told));
	if (!told) {
		leave(r, p->pin,
			mem_strdup("a digest alone does not tell whether it was built from the default.nix"));
		return NULL;
	}
	hand_over(p, promotion_of(r, p->pin->name, nix));
	return NULL;
}

static struct err *find_pins(const struct promote_request *rq, struct promote_report *r)
{
	AUTO_FREE char *prefix = release_prefix(&r->config);
	const struct transfer_io io = {.cancel = rq->cancel};

	TRY(manifests_scan(rq->repo, &r->config, NULL, prefix, &r->scan));
	TRY(check_names(rq, r));
	AUTO(looking_fini) struct looking l = {.rq = rq, .report = r, .count = r->scan.pins.len};
	l.pins = mem_array(l.count + 1, sizeof(*l.pins));
	for (size_t i = 0; i < l.count; i++) {
		l.pins[i].pin = vec_at(&r->scan.pins, i);
		l.pins[i].wanted = wanted(rq, l.pins[i].pin);
	}
	TRY(trace_by_tag(&l));
	TRY(parallel_run(l.count, r->config.registry ? RELEASE_PARALLEL : 1, &io, look, &l));
	TRY(trace_by_label(&l));
	for (size_t i = 0; i < l.count; i++)
		TRY(sort_out(&l, &l.pins[i]));
	return NULL;
}

/* ---- all ---- */

/* A run that ended between its changes and its commit left them, and there is nothing to be done any more. */
static struct err *find_uncommitted(const struct promote_request *rq, struct promote_report *r)
{
	bool dirty = false;

	for (size_t i = 0; !r->promotions.len && i < r->config.manifests.len; i++)
		TRY(repo_dirty(rq->repo, r->config.manifests.ptr[i], &dirty, &r->uncommitted));
	return NULL;
}

static struct err *plan(const struct promote_request *rq, struct promote_report *r)
{
	TRY(repo_config_load(rq->repo, NULL, &r->config));
	TRY(main_builds_open(rq->engine, rq->repo, rq->events, rq->cancel, &r->builds));
	r->main = mem_strdup(main_builds_ref(r->builds));
	TRY(repo_resolve(rq->repo, main_builds_commit(r->builds)->id, &r->tip));
	TRY(repo_main_fetched(rq->repo, &r->fetched));
	TRY(check_head(rq, r));
	TRY(find_pins(rq, r));
	for (size_t i = 0; i < r->promotions.len; i++)
		TRY(promote_decide(rq, r, vec_at(&r->promotions, i)));
	return find_uncommitted(rq, r);
}

struct err *promote_plan(const struct promote_request *rq, struct promote_report *out)
{
	AUTO(promote_report_fini)
	struct promote_report r = {
		.promotions = VEC_OF(struct promotion), .left = VEC_OF(struct promote_left)};

	TRY(plan(rq, &r));
	*out = r;
	r = (struct promote_report){0};
	return NULL;
}
