/* SPDX-License-Identifier: Apache-2.0 */
/* A default.nix of a repository: of its work tree, or of a commit that is checked out for it. Threads: any.
 */
#pragma once

#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/event.h"
#include "engine/engine.h"
#include "engine/evaluate.h"

struct nix_job {
	const char *root;             /* absolute work tree; or */
	const char *git_dir;          /* repository ... */
	const char *commit;           /* ... at this commit, 40 hex */
	const char *file;             /* default.nix, relative to the repository's root */
	const char *const *labels;    /* "K=V" */
	int64_t created;              /* ns */
	struct evaluation *evaluated; /* as in build_request */
	struct event_stream *events;
	const struct cancel *cancel;
};
/* As engine_build. */
MUST_USE struct err *nix_job_build(struct engine *e, const struct nix_job *j, struct build_result *out);
/* As engine_evaluate; the config is not known. */
MUST_USE struct err *nix_job_evaluate(struct engine *e, const struct nix_job *j, struct evaluation *out);
/* As engine_relabel, for what nix_job_evaluate gave. */
MUST_USE struct err *nix_job_relabel(struct engine *e, const struct nix_job *j,
	const struct evaluation *evaluated, const struct digest *image, struct descriptor *out);
