/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/tar_header_internal.h"

#include <string.h>

#define OCTAL7_MAX 07777777u
#define OCTAL11_MAX UINT64_C(077777777777)

struct ustar {
	char name[100];
	char mode[8];
	char uid[8];
	char gid[8];
	char size[12];
	char mtime[12];
	char chksum[8];
	char typeflag;
	char linkname[100];
	char magic[6];
	char version[2];
	char uname[32];
	char gname[32];
	char devmajor[8];
	char devminor[8];
	char prefix[155];
	char pad[12];
};
_Static_assert(sizeof(struct ustar) == TAR_BLOCK, "a header is one block");

/* Octal digits filling all but the last byte of the field, then NUL. */
static void put_octal(char *field, size_t size, uint64_t v)
{
	field[size - 1] = 0;
	for (size_t i = size - 1; i-- > 0; v >>= 3)
		field[i] = (char)('0' + (v & 7));
}

/* Of the block with blanks for the checksum itself; two plain loops, for the vectoriser. */
static unsigned checksum(const uint8_t *block)
{
	unsigned sum = 0;
	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += block[i];
	for (size_t i = 0; i < sizeof(((struct ustar *)0)->chksum); i++)
		sum += (unsigned)' ' - block[offsetof(struct ustar, chksum) + i];
	return sum;
}

/* As some old writers did it: high bytes count as negative. */
static unsigned signed_checksum(const uint8_t *block)
{
	unsigned sum = checksum(block);
	for (size_t i = 0; i < TAR_BLOCK; i++) {
		bool in_field = i >= offsetof(struct ustar, chksum) && i < offsetof(struct ustar, typeflag);
		sum -= !in_field && block[i] >= 0x80 ? 0x100u : 0;
	}
	return sum;
}

static bool read_octal(const char *field, size_t size, uint64_t *out)
{
	size_t i = 0;
	uint64_t v = 0;
	bool any = false;
	while (i < size && field[i] == ' ')
		i++;
	for (; i < size && field[i] >= '0' && field[i] <= '7'; i++, any = true)
		v = v << 3 | (uint64_t)(field[i] - '0');
	*out = v;
	return any && (i == size || field[i] == 0 || field[i] == ' ');
}

bool tar_header_checksum_ok(const uint8_t block[TAR_BLOCK])
{
	struct ustar u;
	memcpy(&u, block, sizeof(u));
	uint64_t want = 0;
	if (!read_octal(u.chksum, sizeof(u.chksum), &want))
		return false;
	return want == checksum(block) || want == signed_checksum(block);
}

static bool is_ascii(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s >= 0x80)
			return false;
	return true;
}

/* Where to cut path so that both parts fit name and prefix; 0: nowhere. */
static size_t split_point(const char *path, size_t len)
{
	const struct ustar *u = NULL;
	if (len > sizeof(u->prefix) + 1 + sizeof(u->name))
		return 0;
	for (size_t i = len - sizeof(u->name) - 1; i < len - 1 && i <= sizeof(u->prefix); i++)
		if (i > 0 && path[i] == '/')
			return i;
	return 0;
}

static bool path_fits(const char *path)
{
	size_t len = strlen(path);
	return is_ascii(path) && (len <= sizeof(((struct ustar *)0)->name) || split_point(path, len) > 0);
}

/* For readers that know no pax: the head of the text, ASCII. */
static void put_text(char *field, size_t size, const char *s)
{
	for (size_t i = 0; i < size && s[i]; i++)
		field[i] = (unsigned char)s[i] < 0x80 ? s[i] : '_';
}

static void put_path(struct ustar *u, const char *path)
{
	size_t len = strlen(path);
	size_t cut = len > sizeof(u->name) && is_ascii(path) ? split_point(path, len) : 0;
	if (cut > 0) {
		memcpy(u->prefix, path, cut);
		memcpy(u->name, path + cut + 1, len - cut - 1);
		return;
	}
	put_text(u->name, sizeof(u->name), path);
}

static void add_block(struct buf *out, struct ustar *u)
{
	memcpy(u->magic, "ustar", 6);
	memcpy(u->version, "00", 2);
	put_octal(u->chksum, 7, checksum((const uint8_t *)u));
	u->chksum[7] = ' ';
	buf_add(out, u, sizeof(*u));
}

static size_t decimal_digits(size_t v)
{
	size_t n = 1;
	for (; v >= 10; v /= 10)
		n++;
	return n;
}

/* The length counts itself. */
static void add_record(struct buf *pax, const char *prefix, const char *key, struct str value)
{
	size_t rest = 1 + strlen(prefix) + strlen(key) + 1 + value.len + 1;
	size_t total = rest + decimal_digits(rest);
	if (decimal_digits(total) > decimal_digits(rest))
		total = rest + decimal_digits(total);
	buf_addf(pax, "%zu %s%s=", total, prefix, key);
	buf_addstr(pax, value);
	buf_addc(pax, '\n');
}

static void add_number_record(struct buf *pax, const char *key, int64_t v)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%lld", (long long)v);
	add_record(pax, "", key, str_n(text, (size_t)n));
}

static void collect_records(struct buf *pax, const struct tar_header *h)
{
	for (size_t i = 0; i < h->n_xattrs; i++)
		add_record(pax, "SCHILY.xattr.", h->xattrs[i].name, h->xattrs[i].value);
	if (h->gid > OCTAL7_MAX)
		add_number_record(pax, "gid", h->gid);
	if (!str_is_utf8(str_c(h->path)) || (h->link && !str_is_utf8(str_c(h->link))))
		add_record(pax, "", "hdrcharset", STR("BINARY"));
	if (h->link && (!is_ascii(h->link) || strlen(h->link) > sizeof(((struct ustar *)0)->linkname)))
		add_record(pax, "", "linkpath", str_c(h->link));
	if (h->mtime < 0 || (uint64_t)h->mtime > OCTAL11_MAX)
		add_number_record(pax, "mtime", h->mtime);
	if (!path_fits(h->path))
		add_record(pax, "", "path", str_c(h->path));
	if (h->size > OCTAL11_MAX)
		add_number_record(pax, "size", (int64_t)h->size);
	if (h->uid > OCTAL7_MAX)
		add_number_record(pax, "uid", h->uid);
}

static void add_pax(struct buf *out, const struct buf *pax)
{
	static const char zeros[TAR_BLOCK];
	struct ustar u = {.typeflag = 'x'};
	put_text(u.name, sizeof(u.name), "PaxHeaders.0/entry");
	put_octal(u.mode, sizeof(u.mode), 0644);
	put_octal(u.uid, sizeof(u.uid), 0);
	put_octal(u.gid, sizeof(u.gid), 0);
	put_octal(u.size, sizeof(u.size), pax->len);
	put_octal(u.mtime, sizeof(u.mtime), 0);
	put_octal(u.devmajor, sizeof(u.devmajor), 0);
	put_octal(u.devminor, sizeof(u.devminor), 0);
	add_block(out, &u);
	buf_add(out, pax->ptr, pax->len);
	buf_add(out, zeros, (TAR_BLOCK - pax->len % TAR_BLOCK) % TAR_BLOCK);
}

struct err *tar_header_add(struct buf *out, const struct tar_header *h)
{
	AUTO_BUF struct buf pax = {0};
	collect_records(&pax, h);
	if (pax.len > TAR_PAX_MAX)
		return err_new(ERR_INVALID,
			"'%s': its extended attributes take %zu bytes, a tar entry holds %u", h->path,
			pax.len, TAR_PAX_MAX);
	if (pax.len > 0)
		add_pax(out, &pax);

	struct ustar u = {.typeflag = (char)h->type};
	put_path(&u, h->path);
	put_octal(u.mode, sizeof(u.mode), h->mode & 07777u);
	put_octal(u.uid, sizeof(u.uid), h->uid > OCTAL7_MAX ? 0 : h->uid);
	put_octal(u.gid, sizeof(u.gid), h->gid > OCTAL7_MAX ? 0 : h->gid);
	put_octal(u.size, sizeof(u.size), h->size > OCTAL11_MAX ? 0 : h->size);
	put_octal(u.mtime, sizeof(u.mtime),
		h->mtime < 0 || (uint64_t)h->mtime > OCTAL11_MAX ? 0 : (uint64_t)h->mtime);
	if (h->link)
		put_text(u.linkname, sizeof(u.linkname), h->link);
	put_octal(u.devmajor, sizeof(u.devmajor), h->dev_major);
	put_octal(u.devminor, sizeof(u.devminor), h->dev_minor);
	add_block(out, &u);
	return NULL;
}
