/* SPDX-License-Identifier: Apache-2.0 */
/* Tars as they may come: layer marks, odd but legal archives, options. What is refused is in test_reject.c.
 */
#include "archive_test.h"

#include "base/mem.h"
#include "base/vec.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

static const struct tar_read_options as_layer = {.layer = true};
static const struct tar_read_options as_files = {0};
/* Directories nobody described belong to root: only root can make them so. */
#define OURS                                \
	(struct tar_read_options)           \
	{                                   \
		.squash_owners = !is_root() \
	}

static bool is_opaque(int dirfd, const char *path)
{
	AUTO_FD int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	char v[4];
	return fgetxattr(fd, "user.overlay.opaque", v, sizeof(v)) == 1 && v[0] == 'y';
}

static bool is_whiteout(int dirfd, const char *path)
{
	struct stat st;
	return fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == 0;
}

static void test_whiteouts(void **state)
{
	if (!is_root())
		skip();
	AUTO_FD int a = scratch_dir(*state, "a");
	AUTO_BUF struct buf t = {0};
	add_dir(&t, "d/");
	add_file(&t, "d/kept", "k");
	add_file(&t, "d/.wh.gone", "");
	add_file(&t, "d/.wh..wh..opq", "");
	add_file(&t, "d/after", "a");
	add_file(&t, ".wh.top", "");
	add_file(&t, "./.wh.top2", "");
	add_file(&t, "deep/er/.wh.x", "");
	add_dir(&t, ".wh..wh.plnk/");
	add_file(&t, ".wh..wh.plnk/1.2", "x");
	add_file(&t, ".wh..wh.aufs", "x");
	add_end(&t);
	assert_ok(unpack_buf(&t, a, &as_layer));
	assert_true(is_opaque(a, "d"));
	assert_true(exists(a, "d/kept") && exists(a, "d/after"));
	assert_true(is_whiteout(a, "d/gone") && is_whiteout(a, "top") && is_whiteout(a, "top2"));
	assert_true(is_whiteout(a, "deep/er/x"));
	assert_false(exists(a, ".wh..wh.plnk") || exists(a, ".wh..wh.aufs") || exists(a, "d/.wh..wh..opq"));
}

/* The kernel's own opinion of the marks. */
static void test_overlayfs_agrees(void **state)
{
	struct scratch *s = *state;
	if (!can_make_devices() || !shell(s->path, "unshare -m true", NULL))
		skip();
	AUTO_FD int lower = scratch_dir(s, "lower");
	AUTO_FD int upper = scratch_dir(s, "upper");
	AUTO_FD int merged = scratch_dir(s, "merged");
	assert_true(merged >= 0);
	AUTO_BUF struct buf low = {0}, up = {0}, out = {0};
	add_file(&low, "gone", "");
	add_file(&low, "stays", "");
	add_file(&low, "opaque/hidden", "");
	add_file(&low, "dir/gone", "");
	add_file(&low, "dir/stays", "");
	add_file(&low, "new/hidden", "");
	add_end(&low);
	add_file(&up, ".wh.gone", "");
	add_file(&up, "opaque/shown", "");
	add_file(&up, "opaque/.wh..wh..opq", "");
	add_file(&up, "dir/.wh.gone", "");
	add_file(&up, ".wh.new", "");
	add_dir(&up, "new/");
	add_file(&up, "new/shown", "");
	add_end(&up);
	assert_ok(unpack_buf(&low, lower, &as_layer));
	assert_ok(unpack_buf(&up, upper, &as_layer));
	assert_true(shell(s->path,
		"unshare -m sh -c 'mount -t overlay -o userxattr,lowerdir=upper:lower none merged &&"
		" cd merged && find . -type f | sort'",
		&out));
	assert_string_equal(buf_cstr(&out), "./dir/stays\n./new/shown\n./opaque/shown\n./stays\n");
}

/* A whiteout speaks of lower layers: the layer's own file of that name stays, before or after. */
static void test_whiteout_and_file(void **state)
{
	if (!is_root())
		skip();
	AUTO_FD int a = scratch_dir(*state, "a");
	AUTO_BUF struct buf t = {0};
	add_file(&t, "f", "mine");
	add_file(&t, ".wh.f", "");
	add_file(&t, ".wh.g", "");
	add_file(&t, "g", "mine");
	add_dir(&t, "d/");
	add_file(&t, "d/x", "");
	add_file(&t, ".wh.d", "");
	add_file(&t, ".wh.e", "");
	add_dir(&t, "e/");
	add_file(&t, ".wh.h", "");
	add_file(&t, "h/y", "");
	add_file(&t, ".wh.twice", "");
	add_file(&t, ".wh.twice", "");
	add_end(&t);
	assert_ok(unpack_buf(&t, a, &as_layer));
	assert_int_equal(type_of(a, "f"), S_IFREG);
	assert_int_equal(type_of(a, "g"), S_IFREG);
	assert_true(exists(a, "d/x") && is_opaque(a, "d"));
	assert_true(is_opaque(a, "e"));
	assert_true(is_opaque(a, "h") && exists(a, "h/y"));
	assert_true(is_whiteout(a, "twice"));
}

static void test_not_a_layer(void **state)
{
	AUTO_FD int a = scratch_dir(*state, "a");
	AUTO_BUF struct buf t = {0};
	add_file(&t, ".wh.x", "plain");
	add_file(&t, ".wh..wh..opq", "plain");
	add_end(&t);
	assert_ok(unpack_buf(&t, a, &as_files));
	assert_int_equal(type_of(a, ".wh.x"), S_IFREG);
	assert_false(is_opaque(a, "."));
}

static void test_odd_names(void **state)
{
	AUTO_FD int a = scratch_dir(*state, "a");
	AUTO_BUF struct buf t = {0};
	add_file(&t, "/abs", "1");
	add_file(&t, "./dot", "2");
	add_file(&t, "x//y/./z", "3");
	add_file(&t, "x/../up", "4");
	add_dir(&t, "./");
	add_end(&t);
	assert_ok(unpack_buf(&t, a, &OURS));
	assert_true(exists(a, "abs") && exists(a, "dot") && exists(a, "x/y/z") && exists(a, "up"));
}

static void test_replacing(void **state)
{
	AUTO_FD int a = scratch_dir(*state, "a");
	AUTO_FD int out = scratch_dir(*state, "out");
	put_file(out, "victim", "safe", 4, 0644, 1);
	AUTO_BUF struct buf t = {0};
	add_file(&t, "f", "first");
	add_file(&t, "f", "second");
	add_file(&t, "h1", "same");
	add_hardlink(&t, "h2", "h1");
	add_file(&t, "h2", "other"); /* must not write through the link */
	add_symlink(&t, "l", "../out/victim");
	add_file(&t, "l", "a file now");
	add_symlink(&t, "ld", "../out");
	add_dir(&t, "ld/");
	add_file(&t, "ld/victim", "inside");
	add_dir(&t, "d/");
	add_file(&t, "d/x", "");
	add_file(&t, "d", "no directory now");
	add_file(&t, "n", "");
	add_dir(&t, "n/");
	add_hardlink(&t, "f", "f");
	add_end(&t);
	assert_ok(unpack_buf(&t, a, &as_layer));
	AUTO_FREE char *f = text_of(a, "f"), *h1 = text_of(a, "h1"), *l = text_of(a, "l"),
		       *v = text_of(out, "victim");
	assert_string_equal(f, "second");
	assert_string_equal(h1, "same");
	assert_string_equal(l, "a file now");
	assert_string_equal(v, "safe");
	assert_int_equal(type_of(a, "ld"), S_IFDIR);
	assert_true(exists(a, "ld/victim"));
	assert_int_equal(type_of(a, "d"), S_IFREG);
	assert_int_equal(type_of(a, "n"), S_IFDIR);
}

/* A parent's descriptor is kept from entry to entry: it must not outlive the parent's replacement. */
static void test_parent_replaced(void **state)
{
	AUTO_FD int a = scratch_dir(*state, "a");
	AUTO_BUF struct buf t = {0};
	add_dir(&t, "b/");
	add_dir(&t, "d/");
	add_file(&t, "d/1", "");
	add_symlink(&t, "d", "b");
	add_file(&t, "d/2", "");
	add_file(&t, "d/3", "");
	add_end(&t);
	assert_ok(unpack_buf(&t, a, &as_layer));
	assert_true(exists(a, "b/2") && exists(a, "b/3"));
	assert_false(exists(a, "b/1"));
}

/* Links made by the archive lead later entries around inside the root, never out of it. */
static void test_links_stay_inside(void **state)
{
	AUTO_FD int a = scratch_dir(*state, "a");
	AUTO_FD int out = scratch_dir(*state, "out");
	AUTO_BUF struct buf t = {0};
	add_symlink(&t, "up", "../out");
	add_file(&t, "up/evil1", "");
	add_symlink(&t, "abs", ((struct scratch *)*state)->path);
	add_file(&t, "abs/out/evil2", "");
	add_symlink(&t, "x", "y");
	add_symlink(&t, "y", "../../../../../../out");
	add_file(&t, "x/evil3", "");
	add_end(&t);
	assert_ok(unpack_buf(&t, a, &OURS));
	AUTO_STRVEC struct strvec names = {0};
	assert_ok(dir_list(out, ".", &names));
	assert_int_equal(names.len, 0);
	assert_true(exists(a, "out/evil1") && exists(a, "out/evil3"));
}

static void test_implied_parents(void **state)
{
	AUTO_FD int a = scratch_dir(*state, "a");
	AUTO_BUF struct buf t = {0};
	add_file(&t, "p/q/r/f", "");
	add_file(&t, "p/g", "");
	add_end(&t);
	struct tar_read_options opt = {.squash_owners = !is_root()};
	assert_ok(unpack_buf(&t, a, &opt));
	static const char *const dirs[] = {"p", "p/q", "p/q/r"};
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		struct stat st;
		assert_int_equal(fstatat(a, dirs[i], &st, 0), 0);
		assert_int_equal(st.st_mode & 07777, 0755);
		assert_int_equal(st.st_mtim.tv_sec, 0);
		if (is_root())
			assert_int_equal(st.st_uid, 0);
	}
}

static void test_directory_times(void **state)
{
	AUTO_FD int a = scratch_dir(*state, "a");
	AUTO_BUF struct buf t = {0};
	struct tar_header d = {.type = TAR_DIR,
		.path = "ro/",
		.mode = 0555,
		.mtime = 42,
		.uid = geteuid(),
		.gid = getegid()};
	add_entry(&t, d, NULL);
	add_file(&t, "ro/x/y", "");
	d.path = "ro/none/";
	d.mode = 0;
	add_entry(&t, d, NULL);
	add_file(&t, "ro/none/f", "");
	d.path = "./";
	d.mode = 0711;
	add_entry(&t, d, NULL);
	add_end(&t);
	struct tar_read_options opt = {.layer = true, .squash_owners = !is_root()};
	assert_ok(unpack_buf(&t, a, &opt));
	struct stat st;
	assert_int_equal(fstatat(a, "ro", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0555);
	assert_int_equal(st.st_mtim.tv_sec, 42);
	assert_int_equal(fstatat(a, "ro/none", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0);
	assert_int_equal(st.st_mtim.tv_sec, 42);
	assert_int_equal(fstat(a, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0711);
	assert_int_equal(st.st_mtim.tv_sec, 42);
	assert_int_equal(fchmodat(a, "ro", 0755, 0), 0);
	assert_int_equal(fchmodat(a, "ro/none", 0755, 0), 0);
}

/* A tar added to a directory that is there leaves that alone. */
static void test_root_of_no_layer(void **state)
{
	AUTO_FD int a = scratch_dir(*state, "a");
	AUTO_BUF struct buf t = {0};
	struct tar_header d = {.type = TAR_DIR, .path = "./", .mode = 0700, .uid = 5, .gid = 5};
	add_entry(&t, d, NULL);
	add_file(&t, "./x", "");
	add_end(&t);
	assert_ok(unpack_buf(&t, a, &as_files));
	struct stat st;
	assert_int_equal(fstat(a, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(st.st_uid, geteuid());
}

static void test_strip(void **state)
{
	AUTO_FD int a = scratch_dir(*state, "a");
	AUTO_BUF struct buf t = {0};
	add_dir(&t, "pkg-1.0/");
	add_file(&t, "pkg-1.0/bin/x", "x");
	add_hardlink(&t, "./pkg-1.0/y", "pkg-1.0/bin/x");
	add_file(&t, "alone", "x");
	add_end(&t);
	assert_ok(unpack_buf(&t, a, &(struct tar_read_options){.strip = 1, .squash_owners = !is_root()}));
	assert_true(exists(a, "bin/x") && exists(a, "y"));
	assert_false(exists(a, "pkg-1.0") || exists(a, "alone"));
}

static void test_owners(void **state)
{
	AUTO_FD int a = scratch_dir(*state, "a");
	AUTO_FD int b = scratch_dir(*state, "b");
	AUTO_BUF struct buf t = {0};
	add_entry(&t,
		(struct tar_header){.type = TAR_FILE, .path = "p/f", .mode = 0644, .uid = 5555, .gid = 6666},
		"");
	add_end(&t);
	struct stat st;
	assert_ok(unpack_buf(&t, a, &(struct tar_read_options){.squash_owners = true}));
	assert_int_equal(fstatat(a, "p/f", &st, 0), 0);
	assert_int_equal(st.st_uid, geteuid());
	if (!is_root()) {
		assert_err(unpack_buf(&t, b, &as_files), ERR_DENIED, "p");
		return;
	}
	uint32_t uid = 77, gid = 88;
	assert_ok(unpack_buf(&t, b, &(struct tar_read_options){.uid = &uid, .gid = &gid}));
	assert_int_equal(fstatat(b, "p/f", &st, 0), 0);
	assert_int_equal(st.st_uid, 77);
	assert_int_equal(st.st_gid, 88);
	assert_int_equal(fstatat(b, "p", &st, 0), 0);
	assert_int_equal(st.st_uid, 77);
}

static void test_overlay_attributes_are_dropped(void **state)
{
	AUTO_FD int a = scratch_dir(*state, "a");
	AUTO_BUF struct buf t = {0};
	struct tar_xattr x[] = {{"user.fine", STR("1")}, {"user.overlay.opaque", STR("y")},
		{"user.overlay.redirect", STR("/etc")}};
	add_entry(&t,
		(struct tar_header){.type = TAR_DIR,
			.path = "d/",
			.mode = 0755,
			.uid = geteuid(),
			.gid = getegid(),
			.xattrs = x,
			.n_xattrs = 3},
		NULL);
	add_end(&t);
	assert_ok(unpack_buf(&t, a, &as_layer));
	AUTO_FD int d = openat(a, "d", O_RDONLY | O_CLOEXEC);
	char v[8];
	assert_int_equal(fgetxattr(d, "user.fine", v, 8), 1);
	assert_int_equal(fgetxattr(d, "user.overlay.opaque", v, 8), -1);
	assert_int_equal(fgetxattr(d, "user.overlay.redirect", v, 8), -1);
}

static void test_same_device_again(void **state)
{
	if (!can_make_devices())
		skip();
	AUTO_FD int a = scratch_dir(*state, "a");
	AUTO_BUF struct buf t = {0};
	struct tar_header h = {
		.type = TAR_CHAR, .path = "null", .mode = 0666, .dev_major = 1, .dev_minor = 3};
	add_entry(&t, h, NULL);
	add_entry(&t, h, NULL);
	add_end(&t);
	assert_ok(unpack_buf(&t, a, &as_layer));
	struct stat st;
	assert_int_equal(fstatat(a, "null", &st, 0), 0);
	assert_int_equal(st.st_rdev, makedev(1, 3));
}

static void test_devices_without_root(void **state)
{
	if (can_make_devices())
		skip();
	AUTO_FD int a = scratch_dir(*state, "a");
	AUTO_BUF struct buf t = {0};
	add_entry(&t,
		(struct tar_header){.type = TAR_CHAR,
			.path = "null",
			.mode = 0666,
			.dev_major = 1,
			.dev_minor = 3,
			.uid = geteuid(),
			.gid = getegid()},
		NULL);
	add_file(&t, "after", "");
	add_end(&t);
	assert_err(unpack_buf(&t, a, &as_layer), ERR_DENIED, "'null'");
	struct tar_read_options opt = {.layer = true, .rootless = true};
	struct mem_source s = {.bytes = buf_str(&t)};
	struct tar_read_result r = {0};
	assert_ok(tar_read_tree(a, &opt, mem_source_read, &s, &r));
	assert_int_equal(r.devices_left_out, 1);
	assert_true(exists(a, "after") && !exists(a, "null"));
}

/* Read to the end, whatever follows the end marker; the digest is of all of it. */
static void test_trailing_bytes(void **state)
{
	AUTO_FD int a = scratch_dir(*state, "a");
	AUTO_BUF struct buf t = {0};
	add_file(&t, "f", "x");
	add_end(&t);
	buf_reserve(&t, 3 << 20);
	memset(t.ptr + t.len, 0x5a, 3 << 20);
	t.len += 3 << 20;
	struct mem_source s = {.bytes = buf_str(&t), .step = 10000};
	struct digest want, got;
	digest_of(t.ptr, t.len, &want);
	assert_ok(layer_unpack(mem_source_read, &s, a, &as_layer, &got, NULL));
	assert_true(digest_eq(&want, &got));
	assert_int_equal(s.bytes.len, 0);
}

static void test_counts(void **state)
{
	AUTO_FD int a = scratch_dir(*state, "a");
	AUTO_BUF struct buf t = {0};
	add_dir(&t, "d/");
	add_file(&t, "d/f", "12345");
	add_end(&t);
	struct mem_source s = {.bytes = buf_str(&t), .step = 1};
	struct tar_read_result r = {0};
	assert_ok(tar_read_tree(a, &as_layer, mem_source_read, &s, &r));
	assert_int_equal(r.entries, 2);
	assert_int_equal(r.bytes, 5);
}

struct seen {
	struct buf names;
	struct buf data;
};

static struct err *note_entry(void *ctx, struct tar_reader *r, const struct tar_entry *e)
{
	struct seen *s = ctx;
	buf_addf(&s->names, "%s %o %llu%s%s;", e->path, e->mode, (unsigned long long)e->size,
		e->hardlink ? " = "
		: e->link   ? " -> "
			    : "",
		e->link ? e->link : "");
	if (e->size == 0 || cstr_eq(e->path, "skipped"))
		return NULL;
	for (;;) {
		char part[3];
		size_t n = sizeof(part);
		TRY(tar_entry_read(r, part, &n));
		if (n == 0)
			return NULL;
		buf_add(&s->data, part, n);
	}
}

static void test_each(void **state)
{
	(void)state;
	AUTO_BUF struct buf t = {0};
	AUTO(tar_writer_freep) struct tar_writer *w = NULL;
	assert_ok(tar_writer_new(buf_sink, &t, &w));
	assert_ok(tar_writer_dir(w, "blobs", 5));
	assert_ok(tar_writer_file(w, "blobs/a", 11, 1500000000));
	assert_ok(tar_writer_data(w, "hello ", 6));
	assert_ok(tar_writer_data(w, "world", 5));
	assert_ok(tar_writer_file(w, "skipped", 3, -1));
	assert_ok(tar_writer_data(w, "abc", 3));
	assert_ok(tar_writer_file(w, "empty", 0, 0));
	assert_ok(tar_writer_close(steal(&w)));
	assert_int_equal(t.len % 512, 0);
	assert_true(tar_looks_like(t.ptr, t.len));
	struct seen s = {0};
	struct mem_source src = {.bytes = buf_str(&t), .step = 100};
	assert_ok(tar_each(mem_source_read, &src, NULL, note_entry, &s));
	assert_string_equal(
		buf_cstr(&s.names), "blobs/ 40755 0;blobs/a 100644 11;skipped 100644 3;empty 100644 0;");
	assert_string_equal(buf_cstr(&s.data), "hello world");
	buf_fini(&s.names);
	buf_fini(&s.data);
}

static void test_writer_holds_to_sizes(void **state)
{
	(void)state;
	AUTO_BUF struct buf t = {0};
	AUTO(tar_writer_freep) struct tar_writer *w = NULL;
	assert_ok(tar_writer_new(buf_sink, &t, &w));
	assert_ok(tar_writer_file(w, "f", 3, 0));
	assert_err(tar_writer_data(w, "four", 4), ERR_BUG, "'f'");
	assert_ok(tar_writer_data(w, "12", 2));
	assert_err(tar_writer_close(steal(&w)), ERR_BUG, "lacks 1");
}

static void test_looks_like(void **state)
{
	(void)state;
	AUTO_BUF struct buf t = {0};
	add_file(&t, "f", "x");
	assert_true(tar_looks_like(t.ptr, t.len));
	assert_false(tar_looks_like(t.ptr, 511));
	t.ptr[3]++;
	assert_false(tar_looks_like(t.ptr, t.len));
	static const char zeros[1024];
	assert_false(tar_looks_like(zeros, sizeof(zeros)));
	assert_false(tar_looks_like(t.ptr + 512, 512));
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, scratch_setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(test_whiteouts), T(test_overlayfs_agrees),
		T(test_whiteout_and_file), T(test_not_a_layer), T(test_odd_names), T(test_replacing),
		T(test_parent_replaced), T(test_links_stay_inside), T(test_implied_parents),
		T(test_directory_times), T(test_root_of_no_layer), T(test_strip), T(test_owners),
		T(test_overlay_attributes_are_dropped), T(test_same_device_again),
		T(test_devices_without_root), T(test_trailing_bytes), T(test_counts), T(test_each),
		T(test_writer_holds_to_sizes), T(test_looks_like)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
