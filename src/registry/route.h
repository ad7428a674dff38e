/* SPDX-License-Identifier: Apache-2.0 */
/* What a path below /v2/ is about. Who asks whether somebody may do it must see what the registry sees. */
#pragma once

#include "base/str.h"

enum route_kind {
	ROUTE_PING,
	ROUTE_CATALOG,
	ROUTE_TAGS,
	ROUTE_MANIFEST,
	ROUTE_REFERRERS,
	ROUTE_BLOB,
	ROUTE_UPLOAD_START,
	ROUTE_UPLOAD,
	ROUTE_UNKNOWN,
};

/* Views of the path that was parsed. The repository may be no valid name still. */
struct route {
	enum route_kind kind;
	struct str repository;
	struct str reference; /* tag, digest or upload id */
};
void registry_route(const char *path, struct route *out);
