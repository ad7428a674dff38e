/* SPDX-License-Identifier: Apache-2.0 */
/* The arguments of "cooper build" and their translation into a build_request. */
#pragma once

#include "base/arena.h"
#include "cli/command.h"
#include "engine/engine.h"

struct build_args {
	const char *file, *ref, *kind, *target, *platform, *network, *progress, *metadata_file, *iidfile,
		*locked, *compression, *created;
	struct strvec build_args, labels, annotations, contexts, secrets, ssh, tags, outputs, no_cache_filter,
		allow;
	bool push, no_cache, pull, never_pull, twice, shell_on_failure, quiet;
	uint64_t jobs;
};

/*
 * Everything of rq that comes from options. Strings live in a or in args. ERR_USAGE names the option and what
 * it takes.
 */
MUST_USE struct err *build_args_apply(
	const struct build_args *args, struct arena *a, struct build_request *rq);

/* The values of --allow; ERR_USAGE for one that there is not. */
MUST_USE struct err *build_allow_parse(const struct strvec *values, bool *insecure);

/* Whether the options fit together and what they lead to is there: ERR_USAGE, ERR_NOT_FOUND. Writes nothing.
 */
MUST_USE struct err *build_args_check(const struct build_args *args);

struct parsed_output {
	struct build_output out;
	bool push;        /* type=registry or type=image,push=true */
	const char *name; /* name= of it, or NULL */
};
/* "type=oci,dest=FILE", a directory, or "-". */
MUST_USE struct err *build_output_parse(const char *text, struct arena *a, struct parsed_output *out);
