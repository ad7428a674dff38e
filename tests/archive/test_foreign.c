/* SPDX-License-Identifier: Apache-2.0 */
/* Other programs' tars in, our tars into other programs: GNU tar, bsdtar, Python's tarfile. Absent ones are
 * skipped. */
#include "archive_test.h"

#include "base/mem.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

static void fill_tree(int fd)
{
	static const char raw[] = "\xff raw \xc3";
	char name[256];
	put_file(fd, "plain", "plain\n", 6, 0640, 1600000000);
	put_file(fd, "suid", "x", 1, 04755, 1600000001);
	put_file(fd, raw, "raw", 3, 0644, 1600000002);
	put_file(fd, "e\xcc\x81", "decomposed", 10, 0644, 1600000003);
	memset(name, 'w', 240);
	name[240] = 0;
	assert_int_equal(mkdirat(fd, "dir", 02755), 0);
	assert_int_equal(mkdirat(fd, "dir/below", 0700), 0);
	AUTO_FD int d = openat(fd, "dir/below", O_RDONLY | O_CLOEXEC);
	put_file(d, name, "long", 4, 0600, 1600000004);
	assert_int_equal(symlinkat(raw, fd, "link"), 0);
	assert_int_equal(symlinkat(name, fd, "long link"), 0);
	assert_int_equal(linkat(fd, "plain", fd, "dir/hard", 0), 0);
	if (can_make_devices()) {
		assert_int_equal(mknodat(fd, "null", S_IFCHR | 0666, makedev(1, 3)), 0);
		assert_int_equal(mknodat(fd, "disk", S_IFBLK | 0600, makedev(8, 17)), 0);
		assert_int_equal(fchownat(fd, "suid", 3000000, 12, 0), 0);
		assert_int_equal(fchmodat(fd, "suid", 04755, 0), 0);
	}
	assert_int_equal(mkfifoat(fd, "fifo", 0620), 0);
	AUTO_FD int s = openat(fd, "sparse", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(pwrite(s, "middle", 6, 3 << 20), 6);
	assert_int_equal(ftruncate(s, 5 << 20), 0);
	static const char *const late[] = {"sparse", "fifo", "link", "long link", "suid", "dir/below", "dir"};
	for (size_t i = 0; i < ARRAY_LEN(late); i++)
		put_time(fd, late[i], 1500000000 + (int64_t)i);
}

struct peer {
	const char *program;
	const char *unpack; /* ../t.tar into . */
	const char *pack;   /* src to t.tar */
};

#define GNU_UNPACK "tar --numeric-owner -xpf ../t.tar"
#define GNU_PACK(how) "tar --numeric-owner --format=" how " -cf t.tar -C src ."
static const struct peer gnu[] = {
	{"tar", GNU_UNPACK, GNU_PACK("gnu")},
	{"tar", GNU_UNPACK, GNU_PACK("pax")},
	{"tar", GNU_UNPACK, GNU_PACK("gnu -S")},
	{"tar", GNU_UNPACK, GNU_PACK("pax -S")},
	{"tar", GNU_UNPACK, GNU_PACK("pax -S --sparse-version=0.1")},
	{"tar", GNU_UNPACK, GNU_PACK("pax -S --sparse-version=0.0")},
};

/* In a UTF-8 locale it would compose names; in this one it ends with 1, for names it cannot show. */
#define BSD_UNPACK "LC_ALL=C bsdtar --numeric-owner -xpf ../t.tar || true"
#define BSD_PACK(how) "LC_ALL=C bsdtar --numeric-owner --format=" how " -cf t.tar -C src . || true"
static const struct peer bsd[] = {
	{"bsdtar", BSD_UNPACK, BSD_PACK("pax")},
	{"bsdtar", BSD_UNPACK, BSD_PACK("gnutar")},
};

/* It leaves the times of links alone. */
#define PYTHON_UNPACK                                                                               \
	"python3 -c 'import os, tarfile; t = tarfile.open(\"../t.tar\"); t.extractall(\".\", "      \
	"numeric_owner=True)\n"                                                                     \
	"for m in t:\n m.issym() and os.utime(m.name, (m.mtime, m.mtime), follow_symlinks=False)\n" \
	"for m in t:\n m.isdir() and os.utime(m.name, (m.mtime, m.mtime))'"
#define PYTHON_PACK(format)                                                                                 \
	"python3 -c 'import tarfile; t = tarfile.open(\"t.tar\", \"w\", format=tarfile." format "_FORMAT);" \
	" t.add(\"src\", \".\"); t.close()'"
static const struct peer python[] = {
	{"python3", PYTHON_UNPACK, PYTHON_PACK("PAX")},
	{"python3", PYTHON_UNPACK, PYTHON_PACK("GNU")},
};

static void run(const struct scratch *s, const char *where, const char *command)
{
	AUTO_BUF struct buf out = {0};
	AUTO_FREE char *dir = mem_printf("%s/%s", s->path, where);
	AUTO_FREE char *full = mem_printf("export LC_ALL=C.UTF-8; %s", command);
	if (!shell(dir, full, &out)) {
		print_error("%s\n%s\n", command, buf_cstr(&out));
		fail();
	}
}

/* Both directions must give the same canonical tar. */
static void with_peer(struct scratch *s, const struct peer *p, size_t n)
{
	if (!have_program(p->program))
		skip();
	AUTO_FD int src = scratch_dir(s, "src");
	fill_tree(src);
	struct digest want, got;
	AUTO_BUF struct buf ours = {0};
	tar_of(src, NULL, &ours);
	digest_of(ours.ptr, ours.len, &want);
	put_file(s->fd, "t.tar", ours.ptr, ours.len, 0644, 1);
	AUTO_FD int theirs = scratch_dir(s, "theirs");
	run(s, "theirs", p->unpack);
	digest_of_tree(theirs, &got);
	if (!digest_eq(&want, &got))
		print_error("differs: %s\n", p->unpack);
	assert_true(digest_eq(&want, &got));
	assert_int_equal(unlinkat(s->fd, "t.tar", 0), 0);
	for (size_t i = 0; i < n; i++) {
		char name[32];
		snprintf(name, sizeof(name), "back%zu", i);
		run(s, ".", p[i].pack);
		AUTO_FD int back = scratch_dir(s, name);
		AUTO_FD int tar = openat(s->fd, "t.tar", O_RDONLY | O_CLOEXEC);
		struct fd_source from = {tar, "t.tar"};
		assert_ok(
			layer_unpack(fd_source_read, &from, back, &(struct tar_read_options){0}, NULL, NULL));
		digest_of_tree(back, &got);
		if (!digest_eq(&want, &got))
			print_error("differs: %s\n", p[i].pack);
		assert_true(digest_eq(&want, &got));
	}
}

static void test_gnu(void **state)
{
	with_peer(*state, gnu, ARRAY_LEN(gnu));
}

static void test_bsd(void **state)
{
	with_peer(*state, bsd, ARRAY_LEN(bsd));
}

static void test_python(void **state)
{
	with_peer(*state, python, ARRAY_LEN(python));
}

/* Extended attributes in the manner of both schools. */
static void test_xattrs(void **state)
{
	struct scratch *s = *state;
	if (!have_program("tar"))
		skip();
	AUTO_FD int src = scratch_dir(s, "src");
	put_file(src, "f", "f", 1, 0644, 5);
	AUTO_FD int f = openat(src, "f", O_RDONLY | O_CLOEXEC);
	static const char value[] = "a\0b\n=";
	assert_int_equal(fsetxattr(f, "user.cooper", value, sizeof(value), 0), 0);
	AUTO_BUF struct buf ours = {0};
	struct digest want, got;
	tar_of(src, NULL, &ours);
	digest_of(ours.ptr, ours.len, &want);
	put_file(s->fd, "t.tar", ours.ptr, ours.len, 0644, 1);
	AUTO_FD int theirs = scratch_dir(s, "theirs");
	run(s, "theirs", "tar --xattrs --xattrs-include='*' --numeric-owner -xpf ../t.tar");
	digest_of_tree(theirs, &got);
	assert_true(digest_eq(&want, &got));
	static const char *const packers[] = {
		"tar --xattrs --xattrs-include='*' --numeric-owner -cf t.tar -C src .",
		"bsdtar --xattrs --numeric-owner -cf t.tar -C src ."};
	for (size_t i = 0; i < ARRAY_LEN(packers); i++) {
		if (i == 1 && !have_program("bsdtar"))
			break;
		char name[32];
		snprintf(name, sizeof(name), "back%zu", i);
		run(s, ".", packers[i]);
		AUTO_FD int back = scratch_dir(s, name);
		AUTO_FD int tar = openat(s->fd, "t.tar", O_RDONLY | O_CLOEXEC);
		struct fd_source from = {tar, "t.tar"};
		assert_ok(
			layer_unpack(fd_source_read, &from, back, &(struct tar_read_options){0}, NULL, NULL));
		digest_of_tree(back, &got);
		assert_true(digest_eq(&want, &got));
	}
}

/* A file of more than 8 GiB, all hole: its size does not fit the ustar header. Listed, not unpacked. */
static struct err *pipe_sink(void *ctx, const void *p, size_t len)
{
	FILE *f = ctx;
	return fwrite(p, 1, len, f) == len ? NULL : err_new(ERR_IO, "the pipe broke");
}

static void test_huge(void **state)
{
	struct scratch *s = *state;
	if (!have_program("tar"))
		skip();
	AUTO_FD int src = scratch_dir(s, "src");
	AUTO_FD int f = openat(src, "huge", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (ftruncate(f, (INT64_C(8) << 30) + 5) < 0)
		skip();
	put_file(src, "zz after", "x", 1, 0644, 5);
	AUTO_FREE char *command = mem_printf("LC_ALL=C tar --numeric-owner -tvf - > '%s/list'", s->path);
	FILE *p = popen(command, "w");
	assert_non_null(p);
	assert_ok(tar_write_tree(src, NULL, pipe_sink, p));
	assert_int_equal(pclose(p), 0);
	AUTO_FREE char *list = text_of(s->fd, "list");
	assert_non_null(strstr(list, "8589934597"));
	assert_non_null(strstr(list, "zz after"));
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, scratch_setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_gnu), T(test_bsd), T(test_python), T(test_xattrs), T(test_huge)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
