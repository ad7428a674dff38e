/* SPDX-License-Identifier: Apache-2.0 */
/* What containers would be built from at a commit, and what main would build. Nothing is built. */
#pragma once

#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/event.h"
#include "engine/engine.h"
#include "engine/evaluate.h"
#include "release/release.h"
#include "repo/repo.h"

/* One job of a plan made with the same rq (for a job that is only looked at: unchecked). */
MUST_USE struct err *release_evaluate(struct engine *e, const struct release_request *rq,
	const struct release_plan *plan, const struct release_job *j, struct evaluation *out);
/* What building the job would give, over the layers of an image of the store that was built from equal
 * inputs. */
MUST_USE struct err *release_relabel(struct engine *e, const struct release_request *rq,
	const struct release_plan *plan, const struct release_job *j, const struct evaluation *evaluated,
	const struct digest *image, struct descriptor *out);
/* What is known on this store of a build with those inputs: every evaluation and every release notes it.
 * *found false if nothing is. */
MUST_USE struct err *release_recall(
	struct engine *e, const struct digest *inputs, struct evaluation *out, bool *found);
/* Note it. A store that cannot be written to is no error: it only explains. */
void release_note(struct engine *e, const struct evaluation *evaluation);
/* The job that publishes tags of that form (nix: those that end in -nix); NULL if the plan has none.
 * Borrowed.
 */
struct release_job *release_plan_job(const struct release_plan *p, bool nix);

/* What main would build now, each container and kind planned and evaluated once. Threads: one. */
struct main_builds;
struct main_build {
	struct release_plan plan;
	const struct release_job *job; /* NULL: there is none, error says why */
	bool evaluated;
	struct evaluation evaluation; /* inputs unset: it cannot be told, error says why */
	char *error;
};
/* ERR_NOT_FOUND when the repository has no main, naming the branches tried. e, r and cancel are borrowed. */
MUST_USE struct err *main_builds_open(struct engine *e, struct repo *r, struct event_stream *events,
	const struct cancel *cancel, struct main_builds **out);
void main_builds_free(struct main_builds *m);
void main_builds_freep(struct main_builds **m);
/* The ref's name ("origin/main") and its commit. Borrowed. */
const char *main_builds_ref(const struct main_builds *m);
const struct commit *main_builds_commit(const struct main_builds *m);
/* Its plan. Borrowed, as long as m. An error is only returned for ERR_CANCELED: what else goes wrong is the
 * build's own error. */
MUST_USE struct err *main_builds_get(
	struct main_builds *m, const char *container, bool nix, const struct main_build **out);
/* Its evaluation, too; nothing without a job. Errors likewise. b is one that main_builds_get gave. */
MUST_USE struct err *main_builds_evaluate(struct main_builds *m, const struct main_build *b);
