/* SPDX-License-Identifier: Apache-2.0 */
/* Archives that must be refused, with the entry's name, and without a byte outside of the root. */
#include "archive_test.h"

#include "base/mem.h"
#include "base/vec.h"

#include <fcntl.h>
#include <unistd.h>

static void climb(struct buf *t)
{
	add_file(t, "good", "x");
	add_file(t, "../out/evil", "x");
}

static void climb_deep(struct buf *t)
{
	add_file(t, "a/b/../../../out/evil", "x");
}

static void climb_absolute(struct buf *t)
{
	add_file(t, "/../out/evil", "x");
}

static void climb_by_hardlink(struct buf *t)
{
	add_hardlink(t, "mine", "../out/secret");
}

static void hardlink_through_symlink(struct buf *t)
{
	add_symlink(t, "s", "../out");
	add_hardlink(t, "mine", "s/secret");
}

static void hardlink_to_nothing(struct buf *t)
{
	add_hardlink(t, "mine", "not/there");
}

static void hardlink_to_directory(struct buf *t)
{
	add_dir(t, "d/");
	add_hardlink(t, "mine", "d");
}

static void hardlink_to_root(struct buf *t)
{
	add_hardlink(t, "mine", "./");
}

static void file_as_root(struct buf *t)
{
	add_file(t, "a/..", "x");
}

static void file_as_parent(struct buf *t)
{
	add_file(t, "f", "x");
	add_file(t, "f/below", "x");
}

static void device_twice(struct buf *t)
{
	struct tar_header h = {.type = TAR_CHAR,
		.path = "dev/null",
		.mode = 0666,
		.dev_major = 1,
		.dev_minor = 3,
		.uid = geteuid(),
		.gid = getegid()};
	add_dir(t, "dev/");
	add_entry(t, h, NULL);
	h.dev_minor = 1;
	add_entry(t, h, NULL);
}

static void device_twice_other_type(struct buf *t)
{
	struct tar_header h = {
		.type = TAR_CHAR, .path = "null", .mode = 0666, .dev_major = 1, .dev_minor = 3};
	add_entry(t, h, NULL);
	add_file(t, "null", "in between");
	h.type = TAR_BLOCK_DEV;
	add_entry(t, h, NULL);
}

static void device_that_is_a_mark(struct buf *t)
{
	add_entry(t, (struct tar_header){.type = TAR_CHAR, .path = "etc", .mode = 0}, NULL);
}

static void mark_of_dot(struct buf *t)
{
	add_file(t, "d/.wh..", "");
}

static void mark_of_dotdot(struct buf *t)
{
	add_file(t, "d/.wh...", "");
}

static void mark_of_nothing(struct buf *t)
{
	add_file(t, ".wh.", "");
}

static void mark_as_parent(struct buf *t)
{
	add_file(t, ".wh./x", "");
}

static void mark_as_parent_named(struct buf *t)
{
	add_file(t, "a/.wh.b/x", "");
}

static void mark_as_directory(struct buf *t)
{
	add_dir(t, ".wh.d/");
}

static void ten_terabytes(struct buf *t)
{
	add_entry(t,
		(struct tar_header){
			.type = TAR_FILE, .path = "huge", .mode = 0644, .size = UINT64_C(10) << 40},
		NULL);
	buf_adds(t, "only a few bytes of it");
}

/* A sparse file: no data in the archive, all of it claimed. */
static void ten_terabytes_of_holes(struct buf *t)
{
	AUTO_BUF struct buf pax = {0};
	pax_record(&pax, "GNU.sparse.size", STR("10995116277760"));
	pax_record(&pax, "GNU.sparse.numblocks", STR("1"));
	pax_record(&pax, "GNU.sparse.map", STR("10995116277760,0"));
	add_pax(t, &pax);
	add_file(t, "part0", "");
}

static void negative_size(struct buf *t)
{
	add_file(t, "whole", "x");
	size_t at = t->len;
	add_file(t, "negative", "");
	static const unsigned char minus[12] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00};
	patch_header(t, at, 124, minus, sizeof(minus));
}

static void owner_out_of_range(struct buf *t)
{
	AUTO_BUF struct buf pax = {0};
	pax_record(&pax, "uid", STR("99999999999"));
	add_pax(t, &pax);
	add_file(t, "owned", "");
}

static void long_path(struct buf *t)
{
	AUTO_BUF struct buf name = {0};
	for (int i = 0; i < 2100; i++)
		buf_adds(&name, "a/");
	buf_addc(&name, 'f');
	add_file(t, name.ptr, "x");
}

static void long_component(struct buf *t)
{
	char name[301];
	memset(name, 'n', 300);
	name[300] = 0;
	add_file(t, name, "x");
}

static void symlink_to_nothing(struct buf *t)
{
	add_symlink(t, "s", "");
}

static void truncated_data(struct buf *t)
{
	add_file(t, "whole", "x");
	add_entry(t,
		(struct tar_header){.type = TAR_FILE,
			.path = "cut",
			.mode = 0644,
			.size = 5000,
			.uid = geteuid(),
			.gid = getegid()},
		NULL);
	buf_adds(t, "some bytes");
}

static void truncated_header(struct buf *t)
{
	add_file(t, "whole", "x");
	add_file(t, "cut", "x");
	buf_truncate(t, t->len - 600);
}

static void bad_checksum(struct buf *t)
{
	add_file(t, "whole", "x");
	size_t at = t->len;
	add_file(t, "cut", "x");
	t->ptr[at + 1]++;
}

static void garbage(struct buf *t)
{
	for (int i = 0; i < 4000; i++)
		buf_addc(t, (char)(i * 7 + 1));
}

static void text(struct buf *t)
{
	buf_adds(t, "hello");
}

struct reject {
	const char *what;
	void (*make)(struct buf *t);
	bool end;
	bool layer;
	bool needs_root;
	enum err_kind kind;
	const char *part; /* of the message */
	const char *also;
};

static const struct reject rejects[] = {
	{"climbs", climb, true, true, false, ERR_INVALID, "'../out/evil'", "out of the archive's root"},
	{"climbs from a depth", climb_deep, true, true, false, ERR_INVALID, "'a/b/../../../out/evil'",
		"root"},
	{"climbs, absolute", climb_absolute, true, true, false, ERR_INVALID, "'/../out/evil'", "root"},
	{"climbs by a hard link", climb_by_hardlink, true, true, false, ERR_INVALID, "'mine'", "out/secret"},
	{"hard link through a link", hardlink_through_symlink, true, true, false, ERR_INVALID, "'mine'",
		"not in the archive"},
	{"hard link to nothing", hardlink_to_nothing, true, true, false, ERR_INVALID, "'mine'",
		"not in the archive"},
	{"hard link to a directory", hardlink_to_directory, true, true, false, ERR_INVALID, "'mine'",
		"no file"},
	{"hard link to the root", hardlink_to_root, true, true, false, ERR_INVALID, "'mine'", "no file"},
	{"the root as a file", file_as_root, true, true, false, ERR_INVALID, "'a/..'", "root"},
	{"a file as parent", file_as_parent, true, true, false, ERR_INVALID, "'f/below'", ""},
	{"a device twice", device_twice, true, true, true, ERR_INVALID, "'dev/null'", "twice"},
	{"a device twice, other type", device_twice_other_type, true, true, true, ERR_INVALID, "'null'",
		"twice"},
	{"a device 0:0", device_that_is_a_mark, true, true, false, ERR_INVALID, "'etc'", "0:0"},
	{"deletes .", mark_of_dot, true, true, false, ERR_INVALID, "'d/.wh..'", "mark"},
	{"deletes ..", mark_of_dotdot, true, true, false, ERR_INVALID, "'d/.wh...'", "mark"},
	{"deletes nothing", mark_of_nothing, true, true, false, ERR_INVALID, "'.wh.'", "mark"},
	{"mark as parent", mark_as_parent, true, true, false, ERR_INVALID, "'.wh./x'", "mark"},
	{"named mark as parent", mark_as_parent_named, true, true, false, ERR_INVALID, "'a/.wh.b/x'", "mark"},
	{"mark as directory", mark_as_directory, true, true, false, ERR_INVALID, "'.wh.d/'", "mark"},
	{"10 TB", ten_terabytes, false, true, false, ERR_INVALID, "'huge'", "11.0 TB"},
	{"10 TB of holes", ten_terabytes_of_holes, true, false, false, ERR_INVALID, "'part0'", "11.0 TB"},
	{"negative size", negative_size, true, true, false, ERR_CORRUPT, "negative", "'whole'"},
	{"owner out of range", owner_out_of_range, true, true, false, ERR_INVALID, "'owned'", "99999999999"},
	{"path too long", long_path, true, true, false, ERR_INVALID, "'a/a/a/", "4096"},
	{"component too long", long_component, true, true, false, ERR_IO, "'nnnnn", "too long"},
	{"link to nothing", symlink_to_nothing, true, true, false, ERR_INVALID, "'s'", "nothing"},
	{"data cut off", truncated_data, false, true, false, ERR_CORRUPT, "'cut'", "runcated"},
	{"header cut off", truncated_header, false, true, false, ERR_CORRUPT, "'whole'", "runcated"},
	{"no end marker", climb_by_hardlink, false, false, false, ERR_INVALID, "'mine'", ""},
	{"bad checksum", bad_checksum, true, true, false, ERR_CORRUPT, "'whole'", "Damaged"},
	{"garbage", garbage, false, true, false, ERR_CORRUPT, "not a tar archive", ""},
	{"text", text, false, true, false, ERR_CORRUPT, "not a tar archive", ""},
};

static void assert_untouched(int out)
{
	AUTO_STRVEC struct strvec names = {0};
	assert_ok(dir_list(out, ".", &names));
	assert_int_equal(names.len, 1);
	assert_string_equal(names.ptr[0], "secret");
	struct stat st;
	assert_int_equal(fstatat(out, "secret", &st, 0), 0);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(st.st_mtim.tv_sec, 99);
	AUTO_FREE char *bytes = text_of(out, "secret");
	assert_string_equal(bytes, "secret");
}

static void test_rejects(void **state)
{
	struct scratch *s = *state;
	AUTO_FD int out = scratch_dir(s, "out");
	put_file(out, "secret", "secret", 6, 0600, 99);
	for (size_t i = 0; i < ARRAY_LEN(rejects); i++) {
		const struct reject *r = &rejects[i];
		char name[16];
		if (r->needs_root && !can_make_devices())
			continue;
		snprintf(name, sizeof(name), "r%zu", i);
		AUTO_FD int root = scratch_dir(s, name);
		AUTO_BUF struct buf t = {0};
		r->make(&t);
		if (r->end)
			add_end(&t);
		struct tar_read_options opt = {.layer = r->layer, .squash_owners = !is_root()};
		struct err *e = unpack_buf(&t, root, &opt);
		if (!e)
			print_error("not refused: %s\n", r->what);
		assert_non_null(e);
		char *said = err_text(e);
		if (err_kind(e) != r->kind || !strstr(said, r->part) || !strstr(said, r->also))
			print_error("%s: got %s: %s\n", r->what, err_kind_name(err_kind(e)), said);
		assert_int_equal(err_kind(e), r->kind);
		assert_non_null(strstr(said, r->part));
		assert_non_null(strstr(said, r->also));
		free(said);
		err_free(e);
		assert_untouched(out);
		assert_false(exists(root, "huge") || exists(root, "part0") || exists(root, "negative"));
	}
}

/* An archive that stops between two entries: a layer may (its digest tells), a file added by a user may not.
 */
static void test_no_end_marker(void **state)
{
	AUTO_FD int a = scratch_dir(*state, "a");
	AUTO_BUF struct buf t = {0};
	add_file(&t, "f", "x");
	assert_err(unpack_buf(&t, a, &(struct tar_read_options){0}), ERR_CORRUPT, "'f'");
	assert_ok(unpack_buf(&t, a, &(struct tar_read_options){.layer = true}));
	AUTO_BUF struct buf none = {0};
	assert_err(unpack_buf(&none, a, &(struct tar_read_options){0}), ERR_CORRUPT, "truncated");
	assert_ok(unpack_buf(&none, a, &(struct tar_read_options){.layer = true}));
}

/* Every cut of an archive either gives an error or (between entries, in a layer) fewer files; never a hang or
 * a mess. */
static void test_every_cut(void **state)
{
	AUTO_FD int a = scratch_dir(*state, "a");
	AUTO_BUF struct buf t = {0};
	add_dir(&t, "d/");
	add_file(&t, "d/file", "some content");
	add_symlink(&t, "d/link", "file");
	char long_name[200];
	memset(long_name, 'L', 199);
	long_name[199] = 0;
	add_file(&t, long_name, "pax");
	add_end(&t);
	for (size_t cut = 0; cut < t.len - 1024; cut += cut % 512 ? 61 : 1) {
		AUTO_BUF struct buf part = {0};
		buf_add(&part, t.ptr, cut);
		struct err *e = unpack_buf(&part, a, &(struct tar_read_options){.squash_owners = true});
		assert_int_equal(err_kind(e), ERR_CORRUPT);
		err_free(e);
	}
}

static void test_limits(void **state)
{
	AUTO_FD int a = scratch_dir(*state, "a");
	AUTO_BUF struct buf t = {0};
	add_file(&t, "one", "12345");
	add_file(&t, "two", "12345");
	add_file(&t, "three", "12345");
	add_end(&t);
	struct tar_read_options opt = {.limits = {.max_entries = 2}};
	assert_err(unpack_buf(&t, a, &opt), ERR_INVALID, "'three'");
	opt.limits = (struct tar_limits){.max_bytes = 9};
	assert_err(unpack_buf(&t, a, &opt), ERR_INVALID, "'two'");
	opt.limits = (struct tar_limits){.max_path = 4};
	assert_err(unpack_buf(&t, a, &opt), ERR_INVALID, "'three'");
	opt = (struct tar_read_options){.declared_size = 4};
	assert_err(unpack_buf(&t, a, &opt), ERR_INVALID, "'one'");
}

static struct err *dying_source(void *ctx, void *p, size_t *len)
{
	struct mem_source *s = ctx;
	if (s->bytes.len == 0)
		return err_new(ERR_UNAVAILABLE, "the source died");
	return mem_source_read(ctx, p, len);
}

static void test_source_errors_pass(void **state)
{
	AUTO_FD int a = scratch_dir(*state, "a");
	AUTO_BUF struct buf t = {0};
	add_entry(&t, (struct tar_header){.type = TAR_FILE, .path = "f", .mode = 0644, .size = 5000}, NULL);
	buf_adds(&t, "part");
	struct mem_source s = {.bytes = buf_str(&t)};
	assert_err(tar_read_tree(a, NULL, dying_source, &s, NULL), ERR_UNAVAILABLE, "the source died");
	s.bytes = buf_str(&t);
	assert_err(layer_unpack(dying_source, &s, a, NULL, NULL, NULL), ERR_UNAVAILABLE, "the source died");
}

static struct err *endless_source(void *ctx, void *p, size_t *len)
{
	struct mem_source *s = ctx;
	if (s->bytes.len)
		return mem_source_read(ctx, p, len);
	memset(p, 0, *len);
	return NULL;
}

static void test_a_source_without_an_end(void **state)
{
	AUTO_FD int a = scratch_dir(*state, "a");
	AUTO_BUF struct buf t = {0};
	add_file(&t, "f", "x");
	add_end(&t);
	struct mem_source s = {.bytes = buf_str(&t)};
	assert_err(tar_read_tree(a, NULL, endless_source, &s, NULL), ERR_INVALID, "goes on after its end");
}

/* Random entries over few names, so that they meet: nothing leaves the root, and what comes out packs and
 * unpacks to the same. */
static void random_archive(struct buf *t, uint32_t *seed)
{
	static const char *const names[] = {"a", "b", "a/b", "b/a", "a/b/c", "./b/", "../x", "a/../b", "/c",
		"out", "a/.wh.b", ".wh.a", "a/.wh..wh..opq", "out/secret", "..", "c"};
	static const char *const links[] = {
		"..", "../out", "a", "b/../../out", "/", "../out/secret", "out", "."};
	for (int i = 0; i < 6; i++) {
		*seed = *seed * 1664525u + 1013904223u;
		uint32_t r = *seed >> 8;
		const char *name = names[r % ARRAY_LEN(names)];
		const char *link = links[(r >> 5) % ARRAY_LEN(links)];
		switch ((r >> 10) % 5) {
		case 0:
			add_dir(t, name);
			break;
		case 1:
			add_symlink(t, name, link);
			break;
		case 2:
			add_hardlink(t, name, link);
			break;
		default:
			add_file(t, name, "data");
		}
	}
	add_end(t);
}

static void test_random_archives(void **state)
{
	struct scratch *s = *state;
	AUTO_FD int out = scratch_dir(s, "out");
	put_file(out, "secret", "secret", 6, 0600, 99);
	struct tar_read_options opt = {.layer = true, .rootless = true, .squash_owners = !is_root()};
	uint32_t seed = 4711;
	int unpacked = 0;
	for (int i = 0; i < 600; i++) {
		AUTO_FD int root = scratch_dir(s, "root");
		AUTO_BUF struct buf t = {0}, again = {0}, third = {0};
		random_archive(&t, &seed);
		struct err *e = unpack_buf(&t, root, &opt);
		if (!e) {
			AUTO_FD int other = scratch_dir(s, "other");
			tar_of(root, NULL, &again);
			assert_ok(unpack_buf(&again, other, &opt));
			tar_of(other, NULL, &third);
			assert_int_equal(again.len, third.len);
			assert_memory_equal(again.ptr, third.ptr, third.len);
			assert_ok(tree_remove(s->fd, "other"));
			unpacked++;
		}
		err_free(e);
		assert_untouched(out);
		AUTO_STRVEC struct strvec names = {0};
		assert_ok(dir_list(s->fd, ".", &names));
		assert_int_equal(names.len, 2);
		assert_ok(tree_remove(s->fd, "root"));
	}
	assert_true(unpacked > 20);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, scratch_setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(test_rejects), T(test_no_end_marker), T(test_every_cut),
		T(test_random_archives), T(test_limits), T(test_source_errors_pass),
		T(test_a_source_without_an_end)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
