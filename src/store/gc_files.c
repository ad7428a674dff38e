/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/mem.h"
#include "store/store_internal.h"
#include "sys/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* An upload nobody continued for this long is given up. */
#define PARTIAL_KEPT (24 * 3600 * CLOCK_SECOND)

static uint64_t usage_of_dir(int dirfd, const char *path, int depth)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	uint64_t sum = 0;
	for (struct dirent *e; (e = readdir(dir));) {
		struct stat st;
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
			fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		sum += (uint64_t)st.st_blocks * 512;
		/* Each level holds a descriptor. */
		if (S_ISDIR(st.st_mode) && depth < 200)
			sum += usage_of_dir(fd, e->d_name, depth + 1);
	}
	closedir(dir);
	return sum;
}

uint64_t disk_usage(int dirfd, const char *path)
{
	return usage_of_dir(dirfd, path, 0);
}

static struct err *list_or_none(struct store *s, const char *path, struct strvec *names)
{
	struct err *e = dir_list(s->fd, path, names);
	if (err_kind(e) != ERR_NOT_FOUND)
		return e;
	err_ignore(e, "an older or partly made store");
	return NULL;
}

/* ---- volumes ---- */

static bool volume_unused(struct store *s, const struct gc_plan *plan, const char *id)
{
	AUTO_FREE char *stamp = mem_printf("volumes/%s.used", id);
	AUTO_FREE char *dir = mem_printf("volumes/%s", id);
	struct stat st;
	if (plan->opt.all)
		return true;
	if (fstatat(s->fd, stamp, &st, AT_SYMLINK_NOFOLLOW) < 0 &&
		fstatat(s->fd, dir, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	return stat_mtime_ns(&st) < plan->now - plan->opt.keep_for;
}

static struct err *remove_volume(struct store *s, const char *id)
{
	int tmp = -1;
	char name[TMP_NAME_MAX];
	AUTO_FREE char *stamp = mem_printf("volumes/%s.used", id);
	AUTO_FREE char *dir = mem_printf("volumes/%s", id);
	TRY(store_tmp(s, &tmp));
	if (renameat(s->fd, dir, tmp, store_tmp_name(s, 'v', name)) < 0)
		return errno == ENOENT ? NULL : err_sys(errno, "removing %s/%s", s->home, dir);
	unlinkat(s->fd, stamp, 0);
	return tree_remove(tmp, name);
}

static struct err *collect_volume(
	struct store *s, const struct gc_plan *plan, const char *id, struct store_gc_result *out)
{
	struct store_lock *lock AUTO(store_unlockp) = NULL;
	AUTO_FREE char *name = mem_printf("volume:%s", id);
	AUTO_FREE char *dir = mem_printf("volumes/%s", id);
	if (!volume_unused(s, plan, id))
		return NULL;
	if (!plan->opt.dry_run) {
		TRY(store_try_lock(s, name, false, &lock));
		if (!lock || !volume_unused(s, plan, id))
			return NULL;
	}
	out->bytes += disk_usage(s->fd, dir);
	out->volumes++;
	return plan->opt.dry_run ? NULL : remove_volume(s, id);
}

static struct err *collect_volumes(
	struct store *s, const struct gc_plan *plan, const struct cancel *cancel, struct store_gc_result *out)
{
	AUTO_STRVEC struct strvec names = {0};
	TRY(list_or_none(s, "volumes", &names));
	for (size_t i = 0; i < names.len; i++) {
		TRY(cancel_check(cancel));
		if (!cstr_ends(names.ptr[i], ".used"))
			TRY(collect_volume(s, plan, names.ptr[i], out));
	}
	return NULL;
}

/* ---- blobs that were published and never recorded ---- */

static struct err *take_orphan(
	struct store *s, int tmp, const struct digest *d, char name[TMP_NAME_MAX], bool *taken)
{
	char path[STORE_PATH_MAX];
	struct blob_row row;
	TRY(store_blob_row(s, d, &row));
	*taken = !row.found && renameat(s->fd, blob_path(d, path), tmp, store_tmp_name(s, 'g', name)) == 0;
	return NULL;
}

static struct err *collect_orphan(
	struct store *s, const struct gc_plan *plan, const struct digest *d, struct store_gc_result *out)
{
	struct blob_row row;
	struct stat st;
	char path[STORE_PATH_MAX], name[TMP_NAME_MAX];
	TRY(store_blob_row(s, d, &row));
	if (row.found || fstatat(s->fd, blob_path(d, path), &st, AT_SYMLINK_NOFOLLOW) < 0)
		return NULL;
	bool taken = plan->opt.dry_run;
	if (!plan->opt.dry_run) {
		/* A writer that linked it and has not recorded it yet looks for it inside its transaction. */
		int tmp = -1;
		TRY(store_tmp(s, &tmp));
		TRY(store_tx_begin(s));
		TRY(store_tx_end(s, take_orphan(s, tmp, d, name, &taken)));
		if (taken)
			unlinkat(tmp, name, 0);
	}
	if (taken) {
		out->blobs++;
		out->bytes += (uint64_t)st.st_size;
	}
	return NULL;
}

static struct err *collect_orphans_in(struct store *s, const struct gc_plan *plan, const char *algo,
	const char *fan, struct store_gc_result *out)
{
	AUTO_STRVEC struct strvec names = {0};
	AUTO_FREE char *dir = mem_printf("blobs/%s/%s", algo, fan);
	TRY(list_or_none(s, dir, &names));
	for (size_t i = 0; i < names.len; i++) {
		AUTO_FREE char *text = mem_printf("%s:%s", algo, names.ptr[i]);
		struct digest d;
		if (!digest_valid(str_c(text)) || !cstr_starts(names.ptr[i], fan))
			continue; /* not ours */
		TRY(digest_parse(str_c(text), &d));
		TRY(collect_orphan(s, plan, &d, out));
	}
	return NULL;
}

static struct err *collect_orphans(
	struct store *s, const struct gc_plan *plan, const struct cancel *cancel, struct store_gc_result *out)
{
	static const char *const algos[] = {"sha256", "sha512"};
	for (size_t a = 0; a < ARRAY_LEN(algos); a++) {
		AUTO_STRVEC struct strvec fans = {0};
		AUTO_FREE char *dir = mem_printf("blobs/%s", algos[a]);
		TRY(list_or_none(s, dir, &fans));
		for (size_t i = 0; i < fans.len; i++) {
			TRY(cancel_check(cancel));
			if (strlen(fans.ptr[i]) == 2)
				TRY(collect_orphans_in(s, plan, algos[a], fans.ptr[i], out));
		}
	}
	return NULL;
}

/* ---- partials and quarantine ---- */

/* Between two requests of an upload nobody holds its lock: what was written to lately is never taken, nor
 * locked to look at. */
#define TOUCHED_LATELY (INT64_C(3600) * 1000000000)

static bool old_enough(const struct gc_plan *plan, const struct stat *st, int64_t kept)
{
	int64_t least = plan->opt.all && kept > TOUCHED_LATELY ? TOUCHED_LATELY : kept;
	return S_ISREG(st->st_mode) && stat_ctime_ns(st) < plan->now - least;
}

static struct err *collect_old_file(struct store *s, const struct gc_plan *plan, const char *path,
	int64_t kept, struct store_gc_result *out)
{
	struct stat st;
	if (fstatat(s->fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 || !old_enough(plan, &st, kept))
		return NULL;
	AUTO_FD int fd = openat(s->fd, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || lock_fd(fd, FD_EXCLUSIVE, false) < 0)
		return NULL; /* in use, or gone */
	if (fstat(fd, &st) < 0 || !old_enough(plan, &st, kept) || !fd_still_named(s->fd, path, fd))
		return NULL;
	if (!plan->opt.dry_run && unlinkat(s->fd, path, 0) < 0 && errno != ENOENT)
		return err_sys(errno, "removing %s/%s", s->home, path);
	out->bytes += (uint64_t)st.st_size;
	return NULL;
}

static struct err *collect_old_files(struct store *s, const struct gc_plan *plan, const char *dir,
	int64_t kept, struct store_gc_result *out)
{
	AUTO_STRVEC struct strvec names = {0};
	TRY(list_or_none(s, dir, &names));
	for (size_t i = 0; i < names.len; i++) {
		AUTO_FREE char *path = mem_printf("%s/%s", dir, names.ptr[i]);
		TRY(collect_old_file(s, plan, path, kept, out));
	}
	return NULL;
}

struct err *gc_files(
	struct store *s, const struct gc_plan *plan, const struct cancel *cancel, struct store_gc_result *out)
{
	TRY(collect_volumes(s, plan, cancel, out));
	TRY(collect_orphans(s, plan, cancel, out));
	TRY(collect_old_files(s, plan, "partial", PARTIAL_KEPT, out));
	return collect_old_files(s, plan, "quarantine", plan->opt.keep_for, out);
}

/* ---- the reserve ---- */

#define RESERVE_FILE "reserve"
#define RESERVE_BYTES (4 << 20)

void store_reserve_make(struct store *s)
{
	struct stat st;
	uint64_t room = 0;
	if (fstatat(s->fd, RESERVE_FILE, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return;
	err_ignore(fd_free_space(s->fd, &room), "then there is none");
	/* Not from a disk that is nearly full: it would only be in the way. */
	if (room < 4 * (uint64_t)RESERVE_BYTES)
		return;
	AUTO_FD int fd = openat(s->fd, RESERVE_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0 && fallocate(fd, 0, 0, RESERVE_BYTES) < 0)
		unlinkat(s->fd, RESERVE_FILE, 0);
}

bool store_reserve_release(struct store *s)
{
	return unlinkat(s->fd, RESERVE_FILE, 0) == 0;
}
