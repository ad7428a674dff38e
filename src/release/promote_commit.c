/* SPDX-License-Identifier: Apache-2.0 */
/* One commit that says what was promoted, and why. */
#include "base/mem.h"
#include "release/promote_internal.h"

#include <string.h>

/* More names than this are counted in the subject. */
#define NAMES_MAX 3
/* More reasons than this are counted, too. */
#define REASONS_MAX 10

static void add_subject(const struct promote_report *r, struct buf *out)
{
	AUTO_STRVEC struct strvec names = {0};

	for (size_t i = 0; i < r->promotions.len; i++) {
		const struct promotion *p = vec_at(&r->promotions, i);
		if (promotion_changed(p) && !strvec_has(&names, p->container))
			strvec_push(&names, p->container);
	}
	buf_adds(out, "Promote ");
	if (names.len > NAMES_MAX)
		buf_addf(out, "%zu containers", names.len);
	for (size_t i = 0; names.len <= NAMES_MAX && i < names.len; i++)
		buf_addf(out, "%s%s", i == 0 ? "" : i + 1 == names.len ? " and " : ", ", names.ptr[i]);
	buf_addf(out, " to %s (%s)\n", r->main, r->tip.short_id);
}

static const char *old_name(const struct pin *p)
{
	return p->tag ? p->tag : p->digest ? p->digest : "(nothing)";
}

static void add_promotion(const struct promotion *p, struct buf *out)
{
	buf_addf(out, "\n%s%s:\n", p->container, p->nix ? " (nix)" : "");
	for (size_t i = 0; i < p->pins.len; i++) {
		const struct promote_pin *pin = vec_at(&p->pins, i);
		if (pin->changed)
			buf_addf(out, "- %s:%u\n  %s -> %s\n", pin->pin->file, pin->pin->line,
				old_name(pin->pin), p->tag);
	}
	buf_addf(out, "%s%s\n", p->action == PROMOTE_REBUILD ? "rebuilt from main: " : "", p->why);
	for (size_t i = 0; i < p->changes.len; i++) {
		if (i == REASONS_MAX && p->changes.len > REASONS_MAX + 1) {
			buf_addf(out, "- and %zu more\n", p->changes.len - i);
			break;
		}
		buf_addf(out, "- %s\n", ((const struct input_change *)vec_at(&p->changes, i))->text);
	}
}

/* Of what was changed. */
static char *promote_message(const struct promote_report *r)
{
	AUTO_BUF struct buf out = {0};

	add_subject(r, &out);
	for (size_t i = 0; i < r->promotions.len; i++) {
		const struct promotion *p = vec_at(&r->promotions, i);
		if (promotion_changed(p))
			add_promotion(p, &out);
	}
	return buf_steal(&out);
}

/* ---- git ---- */

static void files_of(const struct promote_report *r, bool only_changed, struct strvec *out)
{
	for (size_t i = 0; i < r->promotions.len; i++) {
		const struct promotion *p = vec_at(&r->promotions, i);
		for (size_t k = 0; k < p->pins.len; k++) {
			const struct promote_pin *pin = vec_at(&p->pins, k);
			bool counts = only_changed ? pin->changed : !p->error && !pin->error;
			if (counts && !strvec_has(out, pin->pin->file))
				strvec_push(out, pin->pin->file);
		}
	}
}

struct err *promote_check_files(const struct promote_request *rq, const struct promote_report *r)
{
	AUTO_STRVEC struct strvec files = {0};

	files_of(r, false, &files);
	return repo_check_committed(rq->repo, &files);
}

struct err *promote_commit(const struct promote_request *rq, struct promote_report *r)
{
	AUTO_STRVEC struct strvec files = {0};
	AUTO(commit_fini) struct commit made = {0};

	files_of(r, true, &files);
	if (!files.len)
		return NULL;
	AUTO_FREE char *message = promote_message(r);
	TRY(repo_commit_files(rq->repo, &files, message, rq->cancel, &made));
	memcpy(r->commit, made.id, sizeof(r->commit));
	return NULL;
}
