/* SPDX-License-Identifier: Apache-2.0 */
/* What can be said of a build's options before minutes are spent on building. */
#include "base/mem.h"
#include "cli/build_args.h"

/* Two cold builds are compared and leave nothing: what would name or deliver a result is a misunderstanding.
 */
static struct err *check_twice(const struct build_args *args)
{
	const struct {
		const char *name;
		bool given;
	} options[] = {
		{"--tag", args->tags.len > 0},
		{"--output", args->outputs.len > 0},
		{"--push", args->push},
		{"--metadata-file", args->metadata_file != NULL},
		{"--iidfile", args->iidfile != NULL},
	};

	for (size_t i = 0; args->twice && i < ARRAY_LEN(options); i++)
		if (options[i].given)
			return err_hint(
				err_new(ERR_USAGE, "--twice and %s exclude each other", options[i].name),
				"--twice only compares two builds: it makes no image");
	return NULL;
}

static struct err *check_names(const struct build_args *args)
{
	if (args->push && !args->tags.len)
		return err_new(ERR_USAGE, "--push needs a --tag that says where to");
	for (size_t i = 0; i < args->tags.len; i++) {
		AUTO(reference_fini) struct reference ref = {0};
		TRY(reference_parse(args->tags.ptr[i], true, &ref));
	}
	return NULL;
}

static struct err *check_outputs(const struct build_args *args)
{
	AUTO(arena_freep) struct arena *a = arena_new();

	for (size_t i = 0; i < args->outputs.len; i++) {
		struct parsed_output o = {0};
		TRY(build_output_parse(args->outputs.ptr[i], a, &o));
	}
	return NULL;
}

struct err *build_args_check(const struct build_args *args)
{
	TRY(check_twice(args));
	TRY(check_names(args));
	return check_outputs(args);
}
