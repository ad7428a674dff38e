/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unpacks the input (its first byte chooses options) into a scratch directory in memory and aborts if
 * anything beside that directory changed. What could be unpacked is then packed again.
 */
#include "archive/layer.h"
#include "archive/tar.h"
#include "base/mem.h"
#include "base/vec.h"
#include "sys/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CANARY "do not touch"

static char place[64];
static int placefd = -1;

static void give_up(const char *why)
{
	fprintf(stderr, "fuzz_tar: %s\n", why);
	abort();
}

static void must(struct err *e, const char *what)
{
	if (e)
		give_up(what);
}

static void remove_place(void)
{
	err_ignore(tree_remove(AT_FDCWD, place), "scratch space");
}

static void prepare(void)
{
	if (placefd < 0) {
		snprintf(place, sizeof(place), "%s/fuzz-tar-XXXXXX",
			access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
		if (!mkdtemp(place))
			give_up("no scratch directory");
		atexit(remove_place);
		placefd = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		must(file_replace(placefd, "canary", CANARY, strlen(CANARY), 0600, false), "no canary");
		if (mkdirat(placefd, "outside", 0700) < 0)
			give_up("no outside");
	}
	must(tree_remove(placefd, "root"), "cannot empty the root");
	if (mkdirat(placefd, "root", 0700) < 0)
		give_up("no root");
}

static void check_names(const char *dir, size_t want)
{
	AUTO_STRVEC struct strvec names = {0};
	must(dir_list(placefd, dir, &names), "cannot list");
	if (names.len != want)
		give_up("something was made outside of the root");
}

static void check_outside(void)
{
	struct stat st;
	AUTO_BUF struct buf b = {0};
	check_names(".", 3);
	check_names("outside", 0);
	must(file_read(placefd, "canary", 1000, &b), "the canary is gone");
	if (fstatat(placefd, "canary", &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
		st.st_nlink != 1 || (st.st_mode & 07777) != 0600 || !str_eq_c(buf_str(&b), CANARY))
		give_up("the canary was touched");
}

struct bytes {
	const uint8_t *p;
	size_t len;
};

static struct err *give(void *ctx, void *p, size_t *len)
{
	struct bytes *b = ctx;
	size_t n = *len < b->len ? *len : b->len;
	if (n > 0)
		memcpy(p, b->p, n);
	b->p += n;
	b->len -= n;
	*len = n;
	return NULL;
}

/* Random changes would stop at the first checksum: make those of all that looks like a header right. */
static void mend(uint8_t *p, size_t size)
{
	for (; size >= 512; p += 512, size -= 512) {
		unsigned sum = 0;
		char text[8];
		if (memcmp(p + 257, "ustar", 5) != 0)
			continue;
		memset(p + 148, ' ', 8);
		for (size_t i = 0; i < 512; i++)
			sum += p[i];
		snprintf(text, sizeof(text), "%06o", sum);
		memcpy(p + 148, text, 7);
	}
}

static struct err *look(void *ctx, struct tar_reader *r, const struct tar_entry *e)
{
	char part[512];
	size_t n = sizeof(part);
	(void)ctx;
	return e->size > 0 ? tar_entry_read(r, part, &n) : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	prepare();
	struct tar_read_options opt = {
		.layer = data[0] & 1,
		.squash_owners = data[0] & 2,
		.strip = data[0] >> 2 & 1,
		.limits = {.max_bytes = 8 << 20, .max_entries = 200},
	};
	AUTO_FREE uint8_t *tar = mem_dup(data + 1, size - 1);
	if (data[0] & 8)
		mend(tar, size - 1);
	struct bytes in = {tar, size - 1};
	AUTO_FD int root = openat(placefd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err *e = tar_read_tree(root, &opt, give, &in, NULL);
	if (!e) {
		struct digest d;
		e = layer_diff_id(root, NULL, &d, NULL);
	}
	err_free(e);
	check_outside();
	in = (struct bytes){tar, size - 1};
	err_free(tar_each(give, &in, &opt.limits, look, NULL));
	return 0;
}
