/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of services. */
#pragma once

#include "dagger/resolve_internal.h"

struct service {
	struct object object;
	struct node *node;   /* the program; NULL: ports of the host or a tunnel */
	struct vec ports;    /* of struct exposed_port */
	struct vec forwards; /* of struct forward: what is reached under another number */
	const char *hostname;
	struct container *container;
	struct service *target; /* of a tunnel */
};
struct forward {
	int frontend, backend;
	const char *host;
};

void service_stop(struct dagger *d, const struct service *s);
/* ERR_UNAVAILABLE or ERR_EXITED if it is not running. */
MUST_USE struct err *service_check(struct dagger *d, const struct service *s);
