/* SPDX-License-Identifier: Apache-2.0 */
#include "http/tls_files.h"

#include "base/mem.h"
#include "sys/file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX ((size_t)1 << 20)

struct err *tls_files_init(struct tls_files *t, const char *cert, const char *key)
{
	if (!cert != !key)
		return err_new(ERR_INVALID, "TLS needs both a certificate and a key");
	*t = (struct tls_files){.cert = mem_strdup(cert), .key = mem_strdup(key)};
	return NULL;
}

void tls_files_fini(struct tls_files *t)
{
	mem_freep(&t->cert);
	mem_freep(&t->key);
}

static bool take_stamp(const struct tls_files *t, struct tls_stamp *out)
{
	const char *paths[] = {t->cert, t->key};
	/* compared as bytes */
	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		struct stat st;
		if (stat(paths[i], &st) < 0)
			return false;
		out->file[i].dev = st.st_dev;
		out->file[i].ino = st.st_ino;
		out->file[i].size = st.st_size;
		out->file[i].mtime = st.st_mtim;
		out->file[i].ctime = st.st_ctim;
	}
	return true;
}

static bool same(const struct tls_stamp *a, const struct tls_stamp *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

bool tls_files_changed(struct tls_files *t, bool now)
{
	struct tls_stamp stamp;
	if (!t->cert || !take_stamp(t, &stamp))
		return false;
	bool still = same(&stamp, &t->seen);
	t->seen = stamp;
	return (still || now) && !same(&stamp, &t->used);
}

struct err *tls_files_read(struct tls_files *t, struct buf *cert, struct buf *key)
{
	/* Before they are read: what changes meanwhile is a change again. */
	if (take_stamp(t, &t->seen))
		t->used = t->seen;
	struct err *e = file_read(AT_FDCWD, t->cert, FILE_MAX, cert);
	if (e)
		return err_wrap(e, "reading the TLS certificate");
	e = file_read(AT_FDCWD, t->key, FILE_MAX, key);
	return e ? err_wrap(e, "reading the TLS key") : NULL;
}
