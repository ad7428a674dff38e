/* SPDX-License-Identifier: Apache-2.0 */
#include "repo/git_lib.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>

/* Its structs change between versions: only the version whose headers this was compiled with will do. */
#define LIBRARY "libgit2.so." LIBGIT2_SOVERSION
#define PACKAGE "libgit2-" LIBGIT2_SOVERSION

static struct {
	pthread_mutex_t lock;
	bool ready;
	struct git_lib table;
} lib = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct err *load_symbols(void *handle)
{
#define X(f)                                                      \
	lib.table.f = (__typeof__(lib.table.f))dlsym(handle, #f); \
	if (!lib.table.f)                                         \
		return err_new(ERR_UNSUPPORTED, LIBRARY " lacks %s", #f);
	GIT_FUNCTIONS(X)
#undef X
	return NULL;
}

static struct err *lib_open(void)
{
	void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		return err_hint(err_new(ERR_UNSUPPORTED, "opening " LIBRARY ", which reads repositories: %s",
					dlerror()),
			"install it: apt-get install " PACKAGE);
	struct err *e = load_symbols(handle);
	if (e) {
		dlclose(handle);
		return err_hint(e, "install the distribution's " PACKAGE);
	}
	if (lib.table.git_libgit2_init() < 0)
		return err_new(ERR_UNSUPPORTED, "starting " LIBRARY);
	/* Neither changes how commits and trees are read; without this such a repository is refused
	 * altogether. */
	static const char *extensions[] = {"worktreeconfig", "partialclone", "preciousobjects"};
	lib.table.git_libgit2_opts(GIT_OPT_SET_EXTENSIONS, extensions, ARRAY_LEN(extensions));
	return NULL;
}

struct err *git_lib_get(const struct git_lib **out)
{
	struct err *e = NULL;
	pthread_mutex_lock(&lib.lock);
	if (!lib.ready) {
		e = lib_open();
		lib.ready = !e;
	}
	pthread_mutex_unlock(&lib.lock);
	if (!e)
		*out = &lib.table;
	return e;
}

#define FREEP(type, fn)                   \
	void type##_freep(type **p)       \
	{                                 \
		if (*p)                   \
			lib.table.fn(*p); \
		*p = NULL;                \
	}
FREEP(git_repository, git_repository_free)
FREEP(git_object, git_object_free)
FREEP(git_tree_entry, git_tree_entry_free)
FREEP(git_reference, git_reference_free)
FREEP(git_reference_iterator, git_reference_iterator_free)
FREEP(git_odb, git_odb_free)
FREEP(git_revwalk, git_revwalk_free)
FREEP(git_diff, git_diff_free)
FREEP(git_config, git_config_free)
FREEP(git_index, git_index_free)
FREEP(git_config_iterator, git_config_iterator_free)
FREEP(git_status_list, git_status_list_free)
#undef FREEP

void git_commit_freep(git_commit **p)
{
	git_object_freep((git_object **)(void *)p);
}

void git_tree_freep(git_tree **p)
{
	git_object_freep((git_object **)(void *)p);
}

void git_blob_freep(git_blob **p)
{
	git_object_freep((git_object **)(void *)p);
}
