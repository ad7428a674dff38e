/* SPDX-License-Identifier: Apache-2.0 */
/* How deletions are written in trees (overlayfs mounted with userxattr) and in tars (OCI image-spec
 * layer.md). */
#pragma once

#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#define MARK_WHITEOUT_PREFIX ".wh."
#define MARK_OPAQUE_NAME ".wh..wh..opq"
/* Names of aufs's own files; nobody else's business. */
#define MARK_AUFS_PREFIX ".wh..wh."
#define MARK_OPAQUE_XATTR "user.overlay.opaque"
#define MARK_OPAQUE_VALUE "y"

static inline bool mark_is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

/* Does this extended attribute belong to the content? Others are notes of overlayfs or of this machine's
 * policy. */
static inline bool mark_xattr_travels(const char *name)
{
	return strncmp(name, "user.overlay.", 13) != 0 && strncmp(name, "trusted.", 8) != 0 &&
	       strcmp(name, "security.selinux") != 0;
}
