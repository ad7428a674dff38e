/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/build_pipeline.h"

#include "base/str.h"

static struct err *refuse(const char *option)
{
	return err_hint(err_new(ERR_USAGE, "--%s has no meaning for a container.py", option),
		"what it would set stands in the file; --kind dockerfile builds the Dockerfile, if there is "
		"one");
}

struct err *build_pipeline_apply(
	const struct build_args *args, const struct build_request *common, struct pipeline_request *rq)
{
	const struct {
		const char *name;
		bool given;
	} others[] = {
		{"file", args->file != NULL},
		{"target", args->target != NULL},
		{"build-arg", args->build_args.len > 0},
		{"build-context", args->contexts.len > 0},
		{"secret", args->secrets.len > 0},
		{"ssh", args->ssh.len > 0},
		{"network", args->network != NULL},
		{"no-cache-filter", args->no_cache_filter.len > 0},
		{"locked", args->locked != NULL},
		{"twice", args->twice},
		{"shell-on-failure", args->shell_on_failure},
	};

	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (others[i].given)
			return refuse(others[i].name);
	*rq = (struct pipeline_request){
		.platform = common->platform,
		.labels = common->labels,
		.annotations = common->annotations,
		.no_cache = common->no_cache,
		.jobs = common->jobs,
		.pull = common->pull,
		.codec = common->codec,
	};
	return NULL;
}
