/* SPDX-License-Identifier: Apache-2.0 */
#include "archive_test.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

void check_err(struct err *e, enum err_kind kind, const char *part, const char *file, int line)
{
	if (!e)
		_fail(file, line);
	char *text = err_text(e);
	bool ok = err_kind(e) == kind && strstr(text, part);
	if (!ok)
		print_error("got %s: %s\nwanted %s: ...%s...\n", err_kind_name(err_kind(e)), text,
			err_kind_name(kind), part);
	free(text);
	err_free(e);
	if (!ok)
		_fail(file, line);
}

int scratch_setup(void **state)
{
	struct scratch *s = mem_new(struct scratch);
	const char *base = getenv("TMPDIR");
	snprintf(s->path, sizeof(s->path), "%.40s/archive-XXXXXX", base ? base : "/tmp");
	umask(022);
	if (!mkdtemp(s->path))
		return -1;
	s->fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = s;
	return s->fd < 0 ? -1 : 0;
}

int scratch_teardown(void **state)
{
	struct scratch *s = *state;
	close(s->fd);
	struct err *e = tree_remove(AT_FDCWD, s->path);
	int rc = e ? -1 : 0;
	err_free(e);
	free(s);
	return rc;
}

int scratch_dir(struct scratch *s, const char *name)
{
	assert_int_equal(mkdirat(s->fd, name, 0755), 0);
	int fd = openat(s->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

void put_time(int dirfd, const char *path, int64_t mtime)
{
	struct timespec t[2] = {{.tv_sec = mtime}, {.tv_sec = mtime}};
	assert_int_equal(utimensat(dirfd, path, t, AT_SYMLINK_NOFOLLOW), 0);
}

void put_file(int dirfd, const char *path, const void *p, size_t len, mode_t mode, int64_t mtime)
{
	int fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_ok(fd_write_all(fd, p, len, path));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
	put_time(dirfd, path, mtime);
}

bool is_root(void)
{
	return geteuid() == 0;
}

bool can_make_devices(void)
{
	AUTO_FREE char *map = text_of(AT_FDCWD, "/proc/self/uid_map");
	return is_root() && strstr(map, "4294967295");
}

struct err *buf_sink(void *ctx, const void *p, size_t len)
{
	buf_add(ctx, p, len);
	return NULL;
}

struct err *mem_source_read(void *ctx, void *p, size_t *len)
{
	struct mem_source *s = ctx;
	size_t n = *len < s->bytes.len ? *len : s->bytes.len;
	if (s->step && n > s->step)
		n = s->step;
	if (n > 0)
		memcpy(p, s->bytes.ptr, n);
	s->bytes = str_skip(s->bytes, n);
	*len = n;
	return NULL;
}

void tar_of(int fd, const struct tar_write_options *opt, struct buf *out)
{
	assert_ok(tar_write_tree(fd, opt, buf_sink, out));
}

void digest_of_tree(int fd, struct digest *out)
{
	assert_ok(layer_diff_id(fd, NULL, out, NULL));
}

struct err *unpack_buf(const struct buf *tar, int fd, const struct tar_read_options *opt)
{
	struct mem_source s = {.bytes = buf_str(tar)};
	return tar_read_tree(fd, opt, mem_source_read, &s, NULL);
}

bool shell(const char *dir, const char *command, struct buf *out)
{
	AUTO_FREE char *line = mem_printf("cd '%s' && { %s; } 2>&1", dir, command);
	FILE *f = popen(line, "r");
	assert_non_null(f);
	char block[4096];
	for (size_t n; (n = fread(block, 1, sizeof(block), f)) > 0;)
		if (out)
			buf_add(out, block, n);
	return pclose(f) == 0;
}

bool have_program(const char *name)
{
	AUTO_FREE char *line = mem_printf("command -v %s >/dev/null", name);
	return shell("/", line, NULL);
}

void add_entry(struct buf *tar, struct tar_header h, const char *data)
{
	static const char zeros[TAR_BLOCK];
	assert_ok(tar_header_add(tar, &h));
	if (!data)
		return;
	buf_add(tar, data, h.size);
	buf_add(tar, zeros, (TAR_BLOCK - h.size % TAR_BLOCK) % TAR_BLOCK);
}

void add_file(struct buf *tar, const char *path, const char *data)
{
	add_entry(tar,
		(struct tar_header){.type = TAR_FILE,
			.path = path,
			.mode = 0644,
			.size = strlen(data),
			.uid = geteuid(),
			.gid = getegid()},
		data);
}

void add_dir(struct buf *tar, const char *path)
{
	add_entry(tar,
		(struct tar_header){
			.type = TAR_DIR, .path = path, .mode = 0755, .uid = geteuid(), .gid = getegid()},
		NULL);
}

void add_symlink(struct buf *tar, const char *path, const char *target)
{
	add_entry(tar,
		(struct tar_header){.type = TAR_SYMLINK,
			.path = path,
			.link = target,
			.mode = 0777,
			.uid = geteuid(),
			.gid = getegid()},
		NULL);
}

void add_hardlink(struct buf *tar, const char *path, const char *target)
{
	add_entry(tar,
		(struct tar_header){.type = TAR_HARDLINK,
			.path = path,
			.link = target,
			.mode = 0644,
			.uid = geteuid(),
			.gid = getegid()},
		NULL);
}

void add_end(struct buf *tar)
{
	static const char zeros[2 * TAR_BLOCK];
	buf_add(tar, zeros, sizeof(zeros));
}

void patch_header(struct buf *tar, size_t header_at, size_t offset, const void *p, size_t len)
{
	char *h = tar->ptr + header_at;
	memcpy(h + offset, p, len);
	memset(h + 148, ' ', 8);
	unsigned sum = 0;
	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += (unsigned char)h[i];
	snprintf(h + 148, 7, "%06o", sum);
}

void pax_record(struct buf *records, const char *key, struct str value)
{
	size_t len = strlen(key) + value.len + 3;
	for (size_t digits = 1, n = 10; digits <= 9; digits++, n *= 10)
		if (len + digits < n) {
			buf_addf(records, "%zu %s=", len + digits, key);
			break;
		}
	buf_addstr(records, value);
	buf_addc(records, '\n');
}

void add_pax(struct buf *tar, const struct buf *records)
{
	size_t at = tar->len;
	add_entry(tar,
		(struct tar_header){.type = TAR_FILE, .path = "pax", .mode = 0644, .size = records->len},
		records->ptr);
	patch_header(tar, at, 156, "x", 1);
}

bool exists(int dirfd, const char *path)
{
	struct stat st;
	return fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

mode_t type_of(int dirfd, const char *path)
{
	struct stat st;
	return fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_mode & S_IFMT : 0;
}

char *text_of(int dirfd, const char *path)
{
	AUTO_BUF struct buf b = {0};
	assert_ok(file_read(dirfd, path, 1u << 20, &b));
	return b.ptr ? buf_steal(&b) : mem_strdup("");
}
