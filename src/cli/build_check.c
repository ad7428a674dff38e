/* SPDX-License-Identifier: Apache-2.0 */
/* What can be said of a build's options before minutes are spent on building. */
#include "base/mem.h"
#include "base/path.h"
#include "cli/build_args.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* Something is going to be made and renamed to path. */
static struct err *check_parent(const char *option, const char *path)
{
	AUTO_FREE char *dir = path_join(path, "..");
	struct stat st;

	if (fstatat(AT_FDCWD, dir, &st, 0) || !S_ISDIR(st.st_mode))
		return err_new(ERR_NOT_FOUND, "%s %s: there is no directory %s", option, path, dir);
	if (access(dir, W_OK | X_OK))
		return err_sys(errno, "%s %s: writing in %s", option, path, dir);
	return NULL;
}

/* path NULL: none. */
static struct err *check_new_file(const char *option, const char *path)
{
	struct stat st;

	if (!path)
		return NULL;
	if (!fstatat(AT_FDCWD, path, &st, 0) && S_ISDIR(st.st_mode))
		return err_new(ERR_USAGE, "%s: %s is a directory", option, path);
	return check_parent(option, path);
}

/* A missing directory is made. */
static struct err *check_directory(const char *path)
{
	struct stat st;

	if (!fstatat(AT_FDCWD, path, &st, 0) && !S_ISDIR(st.st_mode))
		return err_new(ERR_USAGE, "--output: %s is not a directory", path);
	return NULL;
}

static struct err *check_output(
	const struct build_args *args, const char *text, const struct parsed_output *o)
{
	switch (o->out.kind) {
	case OUTPUT_STORE:
		if (o->push && !o->name && !args->tags.len)
			return err_new(ERR_USAGE,
				"--output \"%s\" pushes, but there is no name= and no --tag", text);
		return NULL;
	case OUTPUT_NONE:
		return NULL;
	case OUTPUT_DIR:
		return check_directory(o->out.path);
	case OUTPUT_OCI_LAYOUT:
		TRY(check_directory(o->out.path));
		return check_parent("--output", o->out.path);
	case OUTPUT_OCI_ARCHIVE:
	case OUTPUT_DOCKER_ARCHIVE:
	case OUTPUT_TAR:
		return cstr_eq(o->out.path, "-") ? NULL : check_new_file("--output", o->out.path);
	}
	return NULL;
}

static struct err *check_outputs(const struct build_args *args)
{
	AUTO(arena_freep) struct arena *a = arena_new();

	for (size_t i = 0; i < args->outputs.len; i++) {
		struct parsed_output o = {0};
		TRY(build_output_parse(args->outputs.ptr[i], a, &o));
		TRY(check_output(args, args->outputs.ptr[i], &o));
	}
	return NULL;
}

/* As the step's shell decides it: it reads standard input and draws on standard error. */
static struct err *check_terminal(const struct build_args *args)
{
	if (!args->shell_on_failure || (isatty(STDIN_FILENO) && isatty(STDERR_FILENO)))
		return NULL;
	return err_new(ERR_USAGE, "--shell-on-failure needs a terminal as standard input and standard error");
}

struct err *build_args_check(const struct build_args *args)
{
	TRY(check_terminal(args));
	TRY(check_twice(args));
	TRY(check_names(args));
	TRY(check_new_file("--metadata-file", args->metadata_file));
	TRY(check_new_file("--iidfile", args->iidfile));
	return check_outputs(args);
}
