/* SPDX-License-Identifier: Apache-2.0 */
/* "cooper build" of what is no Dockerfile: a container.py, a default.nix. */
#pragma once

#include "cli/build_args.h"
#include "dagger/pipeline.h"
#include "release/nix_job.h"

/* Everything of rq that comes from options; ERR_USAGE for those that only a Dockerfile knows. */
MUST_USE struct err *build_pipeline_apply(
	const struct build_args *args, const struct build_request *common, struct pipeline_request *rq);
/* The same; Nix has settings of its own for most of them. */
MUST_USE struct err *build_nix_apply(
	const struct build_args *args, const struct build_request *common, struct nix_job *out);
