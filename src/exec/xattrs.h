/* SPDX-License-Identifier: Apache-2.0 */
/* The extended attributes that belong to a file's content: user.* (less overlayfs's own notes) and
 * security.capability. */
#pragma once

#include "base/compiler.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/vec.h"

#include <stdbool.h>

/* Their names, sorted. fd may be O_PATH. */
MUST_USE struct err *xattrs_names(int fd, struct strvec *names);
/* Names and values into h; *any: there were some. */
MUST_USE struct err *xattrs_hash(int fd, struct hasher *h, bool *any);
/* Best effort, as copies do: what the file system or our rights do not allow is left out. */
MUST_USE struct err *xattrs_copy(int from, int to);
