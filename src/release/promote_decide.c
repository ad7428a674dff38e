/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of the pins of one container and kind. */
#include "base/mem.h"
#include "release/promote_internal.h"

#include <string.h>

struct deciding {
	const struct promote_request *rq;
	struct promote_report *report;
	struct promotion *p;
	const struct main_build *main;
};

/* Only a wish to stop is passed on: what cannot be done for one image must not stop the others. */
static struct err *settle(struct promotion *p, struct err *e)
{
	if (!e || err_kind(e) == ERR_CANCELED)
		return e;
	mem_freep(&p->error);
	p->error = promote_error_text(e);
	err_free(e);
	return NULL;
}

/* ---- is main's tag there already? ---- */

static struct err *tag_is_there(const struct deciding *d, const struct reference *ref, bool *there)
{
	struct presence p = {0};
	const struct transfer_io io = {.cancel = d->rq->cancel};
	TRY(published_presence(d->rq->engine, !d->main->plan.config.registry, ref, false, &io, &p));
	*there = p.status == 200;
	struct err *e = NULL;
	if (p.status != 200 && p.status != 404) {
		e = err_new(ERR_UNAVAILABLE, "whether %s is published cannot be told: %s", d->p->reference,
			p.why ? p.why : "the registry does not say");
		if (p.hint)
			e = err_hint(e, "%s", p.hint);
	}
	presence_fini(&p);
	return e;
}

/* It is main's only if it says so itself: a tag is a name that anybody could have given. */
static struct err *take_published(struct deciding *d, bool *there)
{
	const struct transfer_io io = {.cancel = d->rq->cancel};
	AUTO(reference_fini) struct reference ref = {0};
	struct image_facts facts = {0};

	TRY(reference_parse(d->p->reference, false, &ref));
	TRY(tag_is_there(d, &ref, there));
	if (!*there)
		return NULL;
	TRY(image_facts_read(d->rq->engine, !d->main->plan.config.registry, &ref, &io, &facts));
	if (!cstr_eq(facts.revision, d->report->tip.id))
		return err_hint(err_new(ERR_EXISTS, "%s is published, but not from %s: its revision is %s",
					d->p->reference, d->report->tip.id,
					*facts.revision ? facts.revision : "not known"),
			"what is published is never replaced: remove the tag from the registry, or pin "
			"another one");
	d->p->action = PROMOTE_PIN;
	d->p->digest = facts.digest;
	d->p->published = true;
	d->p->why = mem_printf("released from %s already", d->report->main);
	return NULL;
}

/* ---- equal inputs ---- */

static const struct promote_pin *equal_pin(const struct deciding *d)
{
	for (size_t i = 0; i < d->p->pins.len; i++) {
		const struct promote_pin *pin = vec_at(&d->p->pins, i);
		if (!pin->index && digest_is_set(&pin->inputs) &&
			digest_eq(&pin->inputs, &d->main->evaluation.inputs))
			return pin;
	}
	return NULL;
}

static const char *short_commit(const struct promote_pin *p, char out[8])
{
	snprintf(out, 8, "%.7s", p->commit);
	return *out ? out : "an unknown commit";
}

static struct err *plan_retag(struct deciding *d, const struct promote_pin *from)
{
	struct descriptor made = {0};
	char commit[8];

	const struct release_request rq = {
		.repo = d->rq->repo, .name = d->p->container, .ref = d->report->tip.id};
	TRY(release_relabel(
		d->rq->engine, &rq, &d->main->plan, d->main->job, &d->main->evaluation, &from->image, &made));
	d->p->action = PROMOTE_RETAG;
	d->p->digest = made.digest;
	d->p->why = mem_printf("same inputs as %s, layers unchanged", short_commit(from, commit));
	return NULL;
}

/* ---- other inputs: which? ---- */

/* What is known of what the image was made from: written down when it was released or evaluated here, else
 * what its commit gives now. *found false if neither can be had. */
static struct err *find_evaluation(
	struct deciding *d, const struct promote_pin *from, struct evaluation *out, bool *found)
{
	AUTO(release_plan_fini) struct release_plan plan = {0};
	const struct release_request rq = {
		.repo = d->rq->repo,
		.name = d->p->container,
		.ref = from->commit,
		.unchecked = true,
		.events = d->rq->events,
		.cancel = d->rq->cancel,
	};

	TRY(release_recall(d->rq->engine, &from->inputs, out, found));
	if (*found || !*from->commit)
		return NULL;
	TRY(release_plan_make(&rq, &plan));
	const struct release_job *j = release_plan_job(&plan, d->p->nix);
	if (!j)
		return NULL;
	TRY(release_evaluate(d->rq->engine, &rq, &plan, j, out));
	*found = true;
	return NULL;
}

static void explain_found(struct deciding *d, const struct promote_pin *from, const struct evaluation *was)
{
	char commit[8];

	evaluation_compare(was, &d->main->evaluation, &d->p->changes);
	short_commit(from, commit);
	if (!d->p->changes.len)
		d->p->why = mem_printf("%s gives what %s gives, but when it was built something outside the "
				       "repository was another: a base image, a download or a git ref",
			commit, d->report->main);
	else if (digest_eq(&was->inputs, &from->inputs))
		d->p->why = mem_printf("inputs differ from those of %s", commit);
	else
		d->p->why = mem_printf("inputs differ from those of %s, and something outside the repository "
				       "has changed since it was built",
			commit);
}

static struct err *explain(struct deciding *d, const struct promote_pin *from)
{
	AUTO(evaluation_fini) struct evaluation was;
	bool found = false;

	evaluation_init(&was);
	if (from->gone) {
		d->p->why = mem_strdup("the pinned image is not in the registry");
		return NULL;
	}
	if (from->index) {
		d->p->why = mem_strdup("the pinned image is one of several platforms");
		return NULL;
	}
	if (!digest_is_set(&from->inputs)) {
		d->p->why = mem_strdup("the pinned image does not say what it was built from");
		return NULL;
	}
	struct err *e = find_evaluation(d, from, &was, &found);
	if (err_kind(e) == ERR_CANCELED)
		return e;
	err_ignore(e, "only the reason depends on it");
	if (!e && found)
		explain_found(d, from, &was);
	else
		d->p->why =
			mem_strdup("inputs differ; which, cannot be told: the commit that the pinned image "
				   "was built from is not here");
	return NULL;
}

static struct err *plan_rebuild(struct deciding *d)
{
	const struct promote_pin *first = vec_at(&d->p->pins, 0);

	/* A registry that cannot be read now would not take a release either. */
	for (size_t i = 0; i < d->p->pins.len; i++) {
		const struct promote_pin *pin = vec_at(&d->p->pins, i);
		if (pin->unread && !pin->gone)
			return err_new(ERR_UNAVAILABLE, "%s", pin->unread);
	}
	d->p->action = PROMOTE_REBUILD;
	return explain(d, first);
}

/* ---- one promotion ---- */

/* A pin's tag is all that changes. */
static struct err *check_image(const struct deciding *d)
{
	const struct promote_pin *pin = vec_at(&d->p->pins, 0);
	AUTO_FREE char *image = release_image(&d->main->plan.config, d->p->container);

	if (cstr_eq(image, pin->pin->image))
		return NULL;
	return err_hint(err_new(ERR_INVALID, "%s publishes %s, and the manifests name %s", d->report->main,
				image, pin->pin->image),
		"cooper.yaml is another one here than on %s", d->report->main);
}

/* Most likely the branch is not merged yet. */
static void refuse_downgrades(struct deciding *d)
{
	const char *version = d->main->job->version;

	for (size_t i = 0; i < d->p->pins.len && !d->rq->allow_downgrade; i++) {
		struct promote_pin *pin = vec_at(&d->p->pins, i);
		if (!pin->error && pin->version && version && version_cmp(pin->version, version) > 0)
			pin->error = mem_printf("%s has %s, which is older than %s (is the branch merged? "
						"--allow-downgrade pins it all the same)",
				d->report->main, version, pin->version);
	}
}

/* Which other image it should be, if any, is not to be guessed. */
static struct err *not_on_main(struct deciding *d)
{
	const struct main_build *other = NULL;
	const char *name = d->p->container;
	struct err *e = err_new(ERR_NOT_FOUND, "%s", d->main->error);
	struct err *failed = main_builds_get(d->report->builds, name, !d->p->nix, &other);

	if (failed) {
		err_free(e);
		return failed;
	}
	if (other->job)
		return err_hint(e, "%s is built from %s there: cooper release %s, and pin that with --tag",
			name, build_kind_file(other->job->kind), name);
	return err_hint(e, "if it was renamed, name the new image in the manifest; if it is gone, remove the "
			   "manifest, too");
}

static struct err *name_it(struct deciding *d)
{
	const struct release_job *j = d->main->job;
	AUTO(release_plan_fini) struct release_plan plan = {0};

	if (!j)
		return not_on_main(d);
	d->p->kind = build_kind_name(j->kind);
	if (j->reference) {
		d->p->reference = mem_strdup(j->reference);
		d->p->tag = mem_strdup(j->tag);
		return check_image(d);
	}
	/* Planned again as for a release, for its error. */
	const struct release_request rq = {
		.repo = d->rq->repo, .name = d->p->container, .ref = d->report->tip.id};
	TRY(release_plan_make(&rq, &plan));
	return err_new(ERR_BUG, "%s has no tag", d->p->container);
}

static struct err *decide(struct deciding *d)
{
	bool there = false;

	TRY(main_builds_get(d->report->builds, d->p->container, d->p->nix, &d->main));
	TRY(name_it(d));
	refuse_downgrades(d);
	if (!promotion_stands(d->p))
		return NULL;
	TRY(take_published(d, &there));
	if (there)
		return NULL;
	TRY(main_builds_evaluate(d->report->builds, d->main));
	if (d->main->error)
		return err_new(ERR_UNAVAILABLE, "%s", d->main->error);
	const struct promote_pin *equal = equal_pin(d);
	return equal ? plan_retag(d, equal) : plan_rebuild(d);
}

struct err *promote_decide(const struct promote_request *rq, struct promote_report *r, struct promotion *p)
{
	struct deciding d = {.rq = rq, .report = r, .p = p};

	return settle(p, decide(&d));
}
