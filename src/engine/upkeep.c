/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/mem.h"
#include "engine/engine_internal.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define LOGS_KEPT_FOR (14 * 86400 * CLOCK_SECOND)

struct err *engine_prune_logs(struct engine *e, uint64_t *removed)
{
	AUTO_STRVEC struct strvec names = {0};
	int64_t keep = e->settings->store_keep ? e->settings->store_keep : LOGS_KEPT_FOR;
	bool there = false;

	TRY(file_exists(store_dirfd(e->store), "logs", &there));
	if (there)
		TRY(dir_list(store_dirfd(e->store), "logs", &names));
	for (size_t i = 0; i < names.len; i++) {
		AUTO_FREE char *path = mem_printf("logs/%s", names.ptr[i]);
		struct stat st;
		/* logs/runs is the queue's */
		if (fstatat(store_dirfd(e->store), path, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
			S_ISDIR(st.st_mode) || stat_mtime_ns(&st) > clock_now() - keep)
			continue;
		if (unlinkat(store_dirfd(e->store), path, 0) < 0 && errno != ENOENT)
			return err_sys(errno, "removing the log %s/%s", e->home, path);
		++*removed;
	}
	return NULL;
}

const struct registry_policy *engine_registry_policy(const struct engine *e)
{
	return &e->settings->registry;
}

void engine_gc_defaults(const struct engine *e, struct store_gc_options *opt)
{
	if (!opt->keep_for)
		opt->keep_for = e->settings->store_keep;
	if (!opt->keep_bytes)
		opt->keep_bytes = e->settings->store_limit;
}
