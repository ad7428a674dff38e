/* SPDX-License-Identifier: Apache-2.0 */
/* Trees to tars and back: every kind of file, byte-equal tars after the round trip. */
#include "archive_test.h"

#include "base/mem.h"

#include <fcntl.h>
#include <locale.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#define CANONICAL "sha256:3039909be84a43152fcba64faaed333ce0433c8901e335dfcdac44e87332bb3e"

static const struct tar_read_options as_layer = {.layer = true};

/* tree -> tar -> tree -> tar: both tars must be equal; the second tree stays open for a look. */
static int round_trip(struct scratch *s, int from, struct buf *tar)
{
	AUTO_BUF struct buf again = {0};
	tar_of(from, NULL, tar);
	static int n;
	char name[32];
	snprintf(name, sizeof(name), "again-%d", n++);
	int to = scratch_dir(s, name);
	assert_ok(unpack_buf(tar, to, &as_layer));
	tar_of(to, NULL, &again);
	assert_int_equal(tar->len, again.len);
	assert_memory_equal(tar->ptr, again.ptr, tar->len);
	return to;
}

static void test_plain(void **state)
{
	struct scratch *s = *state;
	AUTO_FD int a = scratch_dir(s, "a");
	assert_int_equal(mkdirat(a, "d", 0755), 0);
	assert_int_equal(mkdirat(a, "d/empty", 0700), 0);
	put_file(a, "d/x", "hello\n", 6, 0644, 1000000000);
	put_file(a, "d/zero", "", 0, 0600, 1);
	put_file(a, "z", "z", 1, 04755, 1700000000);
	put_file(a, "sticky", "z", 1, 03644, 1700000000);
	assert_int_equal(symlinkat("../../../etc/passwd", a, "d/l"), 0);
	put_time(a, "d/l", 77);
	put_time(a, "d/empty", 12345);
	put_time(a, "d", 54321);
	AUTO_BUF struct buf tar = {0};
	AUTO_FD int b = round_trip(s, a, &tar);
	struct stat st;
	assert_int_equal(fstatat(b, "d", &st, 0), 0);
	assert_int_equal(st.st_mtim.tv_sec, 54321);
	assert_int_equal(fstatat(b, "z", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 04755);
	assert_int_equal(fstatat(b, "d/l", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_mtim.tv_sec, 77);
	AUTO_FREE char *text = text_of(b, "d/x");
	assert_string_equal(text, "hello\n");
}

static void test_empty(void **state)
{
	AUTO_FD int a = scratch_dir(*state, "a");
	AUTO_BUF struct buf tar = {0};
	AUTO_FD int b = round_trip(*state, a, &tar);
	assert_true(b >= 0);
	assert_int_equal(tar.len, 1024);
}

static void test_hardlinks(void **state)
{
	AUTO_FD int a = scratch_dir(*state, "a");
	put_file(a, "m", "one", 3, 0644, 5);
	assert_int_equal(mkdirat(a, "d", 0755), 0);
	assert_int_equal(linkat(a, "m", a, "d/k", 0), 0);
	assert_int_equal(linkat(a, "m", a, "zz", 0), 0);
	assert_int_equal(symlinkat("nowhere", a, "s"), 0);
	assert_int_equal(linkat(a, "s", a, "s2", 0), 0);
	AUTO_BUF struct buf tar = {0};
	AUTO_FD int b = round_trip(*state, a, &tar);
	struct stat x, y, z;
	assert_int_equal(fstatat(b, "m", &x, 0), 0);
	assert_int_equal(fstatat(b, "d/k", &y, 0), 0);
	assert_int_equal(fstatat(b, "zz", &z, 0), 0);
	assert_int_equal(x.st_nlink, 3);
	assert_int_equal(x.st_ino, y.st_ino);
	assert_int_equal(x.st_ino, z.st_ino);
	assert_int_equal(fstatat(b, "s2", &x, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(x.st_nlink, 2);
}

static void test_nodes(void **state)
{
	if (!can_make_devices())
		skip();
	AUTO_FD int a = scratch_dir(*state, "a");
	assert_int_equal(mknodat(a, "chr", S_IFCHR | 0666, makedev(1, 3)), 0);
	assert_int_equal(mknodat(a, "blk", S_IFBLK | 0640, makedev(259, 1000000)), 0);
	assert_int_equal(mknodat(a, "fifo", S_IFIFO | 0600, 0), 0);
	assert_int_equal(fchownat(a, "chr", 2097152, 4000000000u, 0), 0);
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	snprintf(un.sun_path, sizeof(un.sun_path), "%s/a/sock", ((struct scratch *)*state)->path);
	AUTO_FD int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(sock, (struct sockaddr *)&un, sizeof(un)), 0);
	AUTO_BUF struct buf tar = {0};
	AUTO_FD int b = round_trip(*state, a, &tar);
	struct stat st;
	assert_int_equal(fstatat(b, "chr", &st, 0), 0);
	assert_int_equal(st.st_rdev, makedev(1, 3));
	assert_int_equal(st.st_uid, 2097152);
	assert_int_equal(st.st_gid, 4000000000u);
	assert_int_equal(fstatat(b, "blk", &st, 0), 0);
	assert_int_equal(st.st_rdev, makedev(259, 1000000));
	assert_int_equal(type_of(b, "fifo"), S_IFIFO);
	assert_false(exists(b, "sock"));
}

static void test_marks(void **state)
{
	if (!is_root())
		skip();
	AUTO_FD int a = scratch_dir(*state, "a");
	assert_int_equal(mkdirat(a, "d", 0755), 0);
	assert_int_equal(mkdirat(a, "o", 0755), 0);
	put_file(a, "o/-first", "1", 1, 0644, 1);
	assert_int_equal(mknodat(a, "gone", S_IFCHR, 0), 0);
	assert_int_equal(linkat(a, "gone", a, "d/gone too", 0), 0);
	AUTO_FD int o = openat(a, "o", O_RDONLY | O_CLOEXEC);
	assert_int_equal(fsetxattr(o, "user.overlay.opaque", "y", 1, 0), 0);
	assert_int_equal(fsetxattr(o, "user.overlay.origin", "abc", 3, 0), 0);
	AUTO_BUF struct buf tar = {0};
	AUTO_FD int b = round_trip(*state, a, &tar);
	assert_non_null(memmem(tar.ptr, tar.len, "o/.wh..wh..opq", 14));
	assert_non_null(memmem(tar.ptr, tar.len, "d/.wh.gone too", 14));
	assert_null(memmem(tar.ptr, tar.len, "overlay", 7));
	struct stat st;
	assert_int_equal(fstatat(b, "gone", &st, 0), 0);
	assert_true(S_ISCHR(st.st_mode) && st.st_rdev == 0);
	AUTO_FD int bo = openat(b, "o", O_RDONLY | O_CLOEXEC);
	char v[8];
	assert_int_equal(fgetxattr(bo, "user.overlay.opaque", v, sizeof(v)), 1);
	assert_int_equal(fgetxattr(bo, "user.overlay.origin", v, sizeof(v)), -1);
	assert_true(exists(b, "o/-first"));
}

static void test_xattrs(void **state)
{
	AUTO_FD int a = scratch_dir(*state, "a");
	put_file(a, "f", "x", 1, 0755, 9);
	assert_int_equal(mkdirat(a, "d", 0755), 0);
	AUTO_FD int f = openat(a, "f", O_RDWR | O_CLOEXEC);
	AUTO_FD int d = openat(a, "d", O_RDONLY | O_CLOEXEC);
	char big[2000];
	memset(big, 'q', sizeof(big));
	static const char binary[] = "\0\n=\xff bin";
	assert_int_equal(fsetxattr(f, "user.zeta", binary, sizeof(binary), 0), 0);
	assert_int_equal(fsetxattr(f, "user.alpha", "", 0, 0), 0);
	assert_int_equal(fsetxattr(f, "user.big", big, sizeof(big), 0), 0);
	assert_int_equal(fsetxattr(d, "user.dir", "yes", 3, 0), 0);
	static const char cap[20] = {1, 0, 0, 2, 0, 4};
	if (is_root()) {
		assert_int_equal(fsetxattr(f, "security.capability", cap, sizeof(cap), 0), 0);
		if (can_make_devices())
			assert_int_equal(fsetxattr(f, "trusted.note", "no", 2, 0), 0);
	}
	put_time(a, "f", 9);
	AUTO_BUF struct buf tar = {0};
	AUTO_FD int b = round_trip(*state, a, &tar);
	AUTO_FD int g = openat(b, "f", O_RDONLY | O_CLOEXEC);
	char v[4096];
	assert_int_equal(fgetxattr(g, "user.zeta", v, sizeof(v)), sizeof(binary));
	assert_memory_equal(v, binary, sizeof(binary));
	assert_int_equal(fgetxattr(g, "user.alpha", v, sizeof(v)), 0);
	assert_int_equal(fgetxattr(g, "user.big", v, sizeof(v)), sizeof(big));
	if (is_root()) {
		assert_int_equal(fgetxattr(g, "security.capability", v, sizeof(v)), sizeof(cap));
		assert_memory_equal(v, cap, sizeof(cap));
		assert_int_equal(fgetxattr(g, "trusted.note", v, sizeof(v)), -1);
	}
	AUTO_FD int e = openat(b, "d", O_RDONLY | O_CLOEXEC);
	assert_int_equal(fgetxattr(e, "user.dir", v, sizeof(v)), 3);
}

static void test_names(void **state)
{
	AUTO_FD int a = scratch_dir(*state, "a");
	static const char *const names[] = {"\xc3\xa9t\xc3\xa9", "e\xcc\x81", "\xff\xfe raw", "new\nline",
		" ", "a=b", "~", "\xe2\x98\x83 snow", "\xed\xa0\x80 surrogate"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		put_file(a, names[i], names[i], strlen(names[i]), 0644, (int64_t)i);
	char name[256];
	for (size_t len = 90; len <= 255; len += 5) {
		memset(name, 'n', len);
		name[len] = 0;
		put_file(a, name, "", 0, 0644, 3);
	}
	assert_int_equal(symlinkat("\xff\xfe raw", a, "to raw"), 0);
	memset(name, 't', 255);
	name[255] = 0;
	assert_int_equal(symlinkat(name, a, "to long"), 0);
	put_time(a, "to raw", 1);
	put_time(a, "to long", 1);
	AUTO_BUF struct buf tar = {0};
	AUTO_FD int b = round_trip(*state, a, &tar);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_true(exists(b, names[i]));
}

/* Paths of every length around the limits of the ustar fields, up to 4095 bytes. */
static void test_deep(void **state)
{
	AUTO_FD int a = scratch_dir(*state, "a");
	int at = dup(a);
	char name[32];
	for (int i = 0; i < 600; i++) {
		snprintf(name, sizeof(name), "%d", i);
		put_file(at, "f", name, strlen(name), 0644, i);
		if (i % 200 == 7)
			memcpy(name, "\xff", 1);
		assert_int_equal(mkdirat(at, name, 0755), 0);
		int next = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		close(at);
		at = next;
	}
	close(at);
	AUTO_BUF struct buf tar = {0};
	AUTO_FD int b = round_trip(*state, a, &tar);
	assert_true(b >= 0);
}

static void test_times(void **state)
{
	AUTO_FD int a = scratch_dir(*state, "a");
	static const int64_t secs[] = {0, -1, -2000000000, 8589934591, 8589934592, 10000000000, 1};
	char name[32];
	for (size_t i = 0; i < ARRAY_LEN(secs); i++) {
		snprintf(name, sizeof(name), "%zu", i);
		put_file(a, name, "", 0, 0644, secs[i]);
	}
	struct timespec half[2] = {
		{.tv_sec = -5, .tv_nsec = 500000000}, {.tv_sec = -5, .tv_nsec = 500000000}};
	assert_int_equal(utimensat(a, "6", half, 0), 0);
	AUTO_BUF struct buf tar = {0};
	AUTO_FD int b = round_trip(*state, a, &tar);
	struct stat st, was;
	for (size_t i = 0; i < ARRAY_LEN(secs); i++) {
		snprintf(name, sizeof(name), "%zu", i);
		assert_int_equal(fstatat(a, name, &was, 0), 0); /* file systems clamp */
		assert_int_equal(fstatat(b, name, &st, 0), 0);
		assert_int_equal(st.st_mtim.tv_sec, was.st_mtim.tv_sec);
		assert_int_equal(st.st_mtim.tv_nsec, 0);
	}
}

static void test_clamp(void **state)
{
	AUTO_FD int a = scratch_dir(*state, "a");
	AUTO_FD int x = scratch_dir(*state, "x");
	put_file(a, "old", "", 0, 0644, 1000);
	put_file(a, "new", "", 0, 0644, 2000);
	put_file(a, "newer", "", 0, 0644, 1999999999);
	assert_int_equal(mkdirat(a, "dir", 0755), 0);
	AUTO_BUF struct buf tar = {0};
	struct tar_write_options opt = {
		.times_from = 2000 * INT64_C(1000000000), .epoch = 1500 * INT64_C(1000000000) + 7};
	tar_of(a, &opt, &tar);
	assert_ok(unpack_buf(&tar, x, &as_layer));
	struct stat st;
	static const struct {
		const char *name;
		int64_t want;
	} cases[] = {{"old", 1000}, {"new", 1500}, {"newer", 1500}, {"dir", 1500}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(fstatat(x, cases[i].name, &st, 0), 0);
		assert_int_equal(st.st_mtim.tv_sec, cases[i].want);
	}
}

static void test_sparse(void **state)
{
	AUTO_FD int a = scratch_dir(*state, "a");
	AUTO_FD int f = openat(a, "hole", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(ftruncate(f, 40 << 20), 0);
	assert_int_equal(pwrite(f, "middle", 6, 20 << 20), 6);
	AUTO_FD int g = openat(a, "all hole", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(ftruncate(g, (9 << 20) + 17), 0);
	AUTO_FD int h = openat(a, "tail", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(ftruncate(h, 1 << 20), 0);
	assert_int_equal(pwrite(h, "end", 3, (1 << 20) - 3), 3);
	put_time(a, "hole", 1);
	put_time(a, "all hole", 1);
	put_time(a, "tail", 1);
	AUTO_BUF struct buf tar = {0};
	AUTO_FD int b = round_trip(*state, a, &tar);
	assert_true(tar.len > 50 << 20);
	struct stat st;
	assert_int_equal(fstatat(b, "hole", &st, 0), 0);
	assert_int_equal(st.st_size, 40 << 20);
	assert_true(st.st_blocks * 512 < 1 << 20);
	assert_int_equal(fstatat(b, "all hole", &st, 0), 0);
	assert_true(st.st_blocks * 512 < 1 << 20);
}

static void test_owners(void **state)
{
	if (!can_make_devices())
		skip();
	AUTO_FD int a = scratch_dir(*state, "a");
	put_file(a, "f", "f", 1, 04711, 1);
	assert_int_equal(symlinkat("x", a, "l"), 0);
	assert_int_equal(mkdirat(a, "d", 02750), 0);
	assert_int_equal(fchownat(a, "f", 1234, 3000000, 0), 0);
	assert_int_equal(fchmodat(a, "f", 06711, 0), 0);
	assert_int_equal(fchownat(a, "l", 1, 2, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(fchownat(a, "d", 4294967294u, 7, 0), 0);
	AUTO_BUF struct buf tar = {0};
	AUTO_FD int b = round_trip(*state, a, &tar);
	struct stat st;
	assert_int_equal(fstatat(b, "f", &st, 0), 0);
	assert_int_equal(st.st_gid, 3000000);
	assert_int_equal(st.st_mode & 07777, 06711);
	assert_int_equal(fstatat(b, "d", &st, 0), 0);
	assert_int_equal(st.st_uid, 4294967294u);
}

/* The tar must not depend on where, when and in which order the tree was made. */
static void test_canonical(void **state)
{
	AUTO_FD int a = scratch_dir(*state, "a");
	AUTO_FD int b = scratch_dir(*state, "b");
	static const char *const names[] = {"m", "a", "B", "a-b", "z", "_"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		put_file(a, names[i], names[i], 1, 0644, 1);
		put_file(b, names[ARRAY_LEN(names) - 1 - i], names[ARRAY_LEN(names) - 1 - i], 1, 0644, 1);
	}
	AUTO_BUF struct buf x = {0}, y = {0};
	tar_of(a, NULL, &x);
	tar_of(b, NULL, &y);
	assert_int_equal(x.len, y.len);
	assert_memory_equal(x.ptr, y.ptr, x.len);
	/* The format is a promise: a change of these bytes changes every image. */
	if (is_root()) {
		struct digest d;
		char text[DIGEST_TEXT_MAX];
		digest_of(x.ptr, x.len, &d);
		assert_string_equal(digest_text(&d, text), CANONICAL);
	}
}

static void test_reserved_name(void **state)
{
	AUTO_FD int a = scratch_dir(*state, "a");
	AUTO_BUF struct buf tar = {0};
	put_file(a, ".wh.x", "", 0, 0644, 1);
	assert_err(tar_write_tree(a, NULL, buf_sink, &tar), ERR_INVALID, "'.wh.x'");
}

static void test_cancel(void **state)
{
	AUTO_FD int a = scratch_dir(*state, "a");
	AUTO(cancel_freep) struct cancel *c = cancel_new();
	cancel_set(c);
	AUTO_BUF struct buf tar = {0};
	assert_err(tar_write_tree(a, &(struct tar_write_options){.cancel = c}, buf_sink, &tar), ERR_CANCELED,
		"");
	add_file(&tar, "x", "x");
	assert_err(unpack_buf(&tar, a, &(struct tar_read_options){.cancel = c}), ERR_CANCELED, "");
}

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static void random_tree(int dirfd, uint32_t *seed, int depth)
{
	uint32_t n = next_random(seed) % 8;
	for (uint32_t i = 0; i < n; i++) {
		char name[64];
		snprintf(name, sizeof(name), "%c%u%s", (char)(33 + next_random(seed) % 90), i,
			next_random(seed) % 7 ? "" : "\xfe\xc3\xa9");
		for (char *p = name; *p; p++)
			if (*p == '/' || *p == '.')
				*p = '_';
		uint32_t kind = next_random(seed) % 6;
		if (kind == 0 && depth > 0) {
			assert_int_equal(mkdirat(dirfd, name, 0700 | (next_random(seed) & 07077)), 0);
			AUTO_FD int d = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
			random_tree(d, seed, depth - 1);
		} else if (kind == 1) {
			assert_int_equal(symlinkat("t", dirfd, name), 0);
		} else if (kind == 2 && is_root()) {
			assert_int_equal(mknodat(dirfd, name, S_IFCHR | 0600,
						 can_make_devices() ? next_random(seed) % 3 : 0),
				0);
		} else {
			char data[3000];
			size_t len = next_random(seed) % sizeof(data);
			memset(data, (int)next_random(seed), len);
			put_file(dirfd, name, data, len, 0400 | (next_random(seed) & 07777), 0);
			if (kind == 3)
				linkat(dirfd, name, dirfd, "linked", 0);
		}
		put_time(dirfd, name, (int64_t)next_random(seed) - 1000);
	}
}

static void test_random(void **state)
{
	for (uint32_t i = 0; i < 60; i++) {
		char name[16];
		snprintf(name, sizeof(name), "r%u", i);
		AUTO_FD int a = scratch_dir(*state, name);
		uint32_t seed = i * 7919;
		random_tree(a, &seed, 4);
		AUTO_BUF struct buf tar = {0};
		AUTO_FD int b = round_trip(*state, a, &tar);
		struct digest x, y;
		digest_of_tree(a, &x);
		digest_of_tree(b, &y);
		assert_true(digest_eq(&x, &y));
	}
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, scratch_setup, scratch_teardown)

int main(void)
{
	/* Names are bytes whatever the locale; libarchive would compose and convert them. */
	setlocale(LC_ALL, "C.UTF-8");
	const struct CMUnitTest tests[] = {T(test_plain), T(test_empty), T(test_hardlinks), T(test_nodes),
		T(test_marks), T(test_xattrs), T(test_names), T(test_deep), T(test_times), T(test_clamp),
		T(test_sparse), T(test_owners), T(test_canonical), T(test_reserved_name), T(test_cancel),
		T(test_random)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
