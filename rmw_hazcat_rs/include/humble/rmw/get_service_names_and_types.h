// The real headers have this in a file of its own.
#include "rmw/graph.h"
