/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/build_pipeline.h"

#include "repo/repo.h"

static struct err *refuse(const char *option, enum build_kind kind)
{
	return err_hint(err_new(ERR_USAGE, "--%s has no meaning for a %s", option, build_kind_file(kind)),
		"what it would set stands in the file; --kind dockerfile builds the Dockerfile, if there is "
		"one");
}

/* What only a Dockerfile knows. */
static struct err *refuse_of_dockerfile(const struct build_args *args, enum build_kind kind)
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
			return refuse(others[i].name, kind);
	return NULL;
}

struct err *build_pipeline_apply(
	const struct build_args *args, const struct build_request *common, struct pipeline_request *rq)
{
	TRY(refuse_of_dockerfile(args, KIND_CONTAINER_PY));
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

struct err *build_nix_apply(
	const struct build_args *args, const struct build_request *common, struct nix_job *out)
{
	const struct {
		const char *name;
		bool given;
	} others[] = {
		{"platform", args->platform != NULL},
		{"annotation", args->annotations.len > 0},
		{"no-cache", args->no_cache},
		{"pull", args->pull},
		{"offline", args->never_pull},
		{"compression", args->compression != NULL},
		{"jobs", args->jobs != 0},
	};

	TRY(refuse_of_dockerfile(args, KIND_NIX));
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (others[i].given)
			return refuse(others[i].name, KIND_NIX);
	*out = (struct nix_job){.labels = common->labels};
	return NULL;
}
