/* SPDX-License-Identifier: Apache-2.0 */
/* "cooper build" of a container.py. */
#pragma once

#include "cli/build_args.h"
#include "dagger/pipeline.h"

/* Everything of rq that comes from options; ERR_USAGE for those that only a Dockerfile knows. */
MUST_USE struct err *build_pipeline_apply(
	const struct build_args *args, const struct build_request *common, struct pipeline_request *rq);
