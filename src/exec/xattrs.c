/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/xattrs.h"

#include "base/buf.h"
#include "sys/file.h"

#include <errno.h>
#include <string.h>

static bool counts(const char *name)
{
	if (cstr_starts(name, "user."))
		return !cstr_starts(name, "user.overlay.");
	return cstr_eq(name, "security.capability");
}

struct err *xattrs_names(int fd, struct strvec *names)
{
	AUTO_BUF struct buf all = {0};
	TRY(xattr_list(fd, &all));
	for (size_t at = 0; at < all.len; at += strlen(all.ptr + at) + 1)
		if (counts(all.ptr + at))
			strvec_push(names, all.ptr + at);
	strvec_sort(names);
	return NULL;
}

struct err *xattrs_hash(int fd, struct hasher *h, bool *any)
{
	AUTO_STRVEC struct strvec names = {0};
	TRY(xattrs_names(fd, &names));
	*any = names.len > 0;
	for (size_t i = 0; i < names.len; i++) {
		AUTO_BUF struct buf value = {0};
		TRY(xattr_get(fd, names.ptr[i], &value));
		hasher_add_field(h, str_c(names.ptr[i]));
		hasher_add_field(h, buf_str(&value));
	}
	return NULL;
}

struct err *xattrs_copy(int from, int to)
{
	AUTO_STRVEC struct strvec names = {0};
	TRY(xattrs_names(from, &names));
	for (size_t i = 0; i < names.len; i++) {
		AUTO_BUF struct buf value = {0};
		TRY(xattr_get(from, names.ptr[i], &value));
		struct err *e = xattr_set(to, names.ptr[i], value.ptr, value.len);
		int sysno = err_sysno(e);
		if (sysno == ENOTSUP || sysno == EPERM || sysno == EACCES)
			err_ignore(e, "attributes are copied where that is possible");
		else
			TRY(e);
	}
	return NULL;
}
