/* SPDX-License-Identifier: Apache-2.0 */
/* Publishing what main would build, and changing the pins. */
#include "base/mem.h"
#include "release/pin.h"
#include "release/promote_internal.h"

#include <string.h>

static struct err *fail(char **out, struct err *e)
{
	if (!e || err_kind(e) == ERR_CANCELED)
		return e;
	mem_freep(out);
	*out = promote_error_text(e);
	err_free(e);
	return NULL;
}

/* ---- publishing ---- */

static struct release_request request_of(
	const struct promote_request *rq, const struct promote_report *r, const struct promotion *p)
{
	return (struct release_request){
		.repo = rq->repo,
		.name = p->container,
		.ref = r->tip.id,
		.allow_insecure = rq->allow_insecure,
		.events = rq->events,
		.cancel = rq->cancel,
	};
}

/* Made again: what was made for the plan may have been collected since. */
static struct err *retag(const struct promote_request *rq, struct promote_report *r, struct promotion *p)
{
	const struct release_request release = request_of(rq, r, p);
	struct release_job job = {.reference = p->reference, .tag = p->tag};
	const struct main_build *main = NULL;
	struct descriptor made = {0};

	TRY(main_builds_get(r->builds, p->container, p->nix, &main));
	const struct job_run run = {.rq = &release, .plan = &main->plan, .job = &job};
	for (size_t i = 0; i < p->pins.len; i++) {
		const struct promote_pin *pin = vec_at(&p->pins, i);
		if (pin->index || !digest_eq(&pin->inputs, &main->evaluation.inputs))
			continue;
		TRY(release_relabel(
			rq->engine, &release, &main->plan, main->job, &main->evaluation, &pin->image, &made));
		return release_publish(rq->engine, &run, &made);
	}
	return err_new(ERR_BUG, "no pin of %s has equal inputs", p->container);
}

static struct err *publish(const struct promote_request *rq, struct promote_report *r, struct promotion *p)
{
	struct err *e = NULL;

	if (p->published || !promotion_stands(p))
		return NULL;
	if (p->action == PROMOTE_RETAG)
		e = retag(rq, r, p);
	else if (p->action == PROMOTE_REBUILD)
		e = promote_release(rq, r, p);
	p->published = !e;
	return fail(&p->error, e);
}

/* ---- pins ---- */

/* What a file's pins become; digests are kept in texts, which live as long. */
static void targets_of(const struct promote_report *r, const char *file, bool env, struct vec *targets,
	struct vec *pins, struct strvec *texts)
{
	char text[DIGEST_TEXT_MAX];

	for (size_t i = 0; i < r->promotions.len; i++) {
		struct promotion *p = vec_at(&r->promotions, i);
		for (size_t k = 0; k < p->pins.len; k++) {
			struct promote_pin *pin = vec_at(&p->pins, k);
			if (!p->published || pin->error || !cstr_eq(pin->pin->file, file))
				continue;
			strvec_push(texts, digest_text(&p->digest, text));
			vec_push_copy(pins, &pin);
			vec_push_copy(targets, &(struct pin_target){.pin = pin->pin,
						       .tag = p->tag,
						       .digest = texts->ptr[texts->len - 1],
						       .env = env});
		}
	}
}

static struct err *change_file(const struct promote_request *rq, struct promote_report *r, const char *file)
{
	AUTO(vec_fini) struct vec targets = VEC_OF(struct pin_target), pins = VEC_OF(struct promote_pin *);
	AUTO_STRVEC struct strvec texts = {0};
	AUTO_FREE char *prefix = release_prefix(&r->config);

	targets_of(r, file, rq->env, &targets, &pins, &texts);
	if (!targets.len)
		return NULL;
	struct err *e = pins_write(rq->repo, prefix, targets.ptr, targets.len, NULL);
	for (size_t i = 0; i < pins.len; i++) {
		struct promote_pin *pin = *(struct promote_pin **)vec_at(&pins, i);
		pin->changed = !e;
		if (e && err_kind(e) != ERR_CANCELED)
			pin->error = promote_error_text(e);
	}
	if (err_kind(e) == ERR_CANCELED)
		return e;
	err_ignore(e, "each of the pins says it");
	return NULL;
}

/* File by file, so that one that is refused does not keep the others. */
static struct err *change_pins(const struct promote_request *rq, struct promote_report *r)
{
	const char *last = NULL;

	for (size_t i = 0; i < r->scan.pins.len; i++) {
		const char *file = ((const struct pin *)vec_at(&r->scan.pins, i))->file;
		if (!cstr_eq(file, last))
			TRY(change_file(rq, r, file));
		last = file;
	}
	return NULL;
}

size_t promote_failures(const struct promote_report *r)
{
	size_t count = 0;

	for (size_t i = 0; i < r->promotions.len; i++) {
		const struct promotion *p = vec_at(&r->promotions, i);
		for (size_t k = 0; k < p->pins.len; k++)
			count += p->error || ((const struct promote_pin *)vec_at(&p->pins, k))->error;
	}
	return count;
}

struct err *promote_run(const struct promote_request *rq, struct promote_report *r)
{
	if (rq->commit)
		TRY(promote_check_files(rq, r));
	for (size_t i = 0; i < r->promotions.len; i++)
		TRY(publish(rq, r, vec_at(&r->promotions, i)));
	TRY(change_pins(rq, r));
	if (rq->commit)
		TRY(promote_commit(rq, r));
	size_t failed = promote_failures(r);
	return failed ? err_new(ERR_UNAVAILABLE, "%zu pin%s could not be promoted", failed, plural(failed))
		      : NULL;
}
