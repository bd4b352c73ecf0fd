// store.c - the disk's side: opening, threads, stopping.
#include "persist/store.h"
