/* SPDX-License-Identifier: Apache-2.0 */
#include "http/mhd_lib.h"

#include "http/module.h"

static const struct module_symbol symbols[] = {
#define X(f) {#f, offsetof(struct mhd_lib, f)},
	MHD_FUNCTIONS(X)
#undef X
};

static struct mhd_lib table;
static struct module module = {
	.file = "libmicrohttpd.so.12",
	.package = "libmicrohttpd12",
	.symbols = symbols,
	.count = ARRAY_LEN(symbols),
	.lock = PTHREAD_MUTEX_INITIALIZER,
};

struct err *mhd_lib_get(const struct mhd_lib **out)
{
	TRY(module_load(&module, &table));
	*out = &table;
	return NULL;
}
