/* Division that rounds down, as Python and numpy have it. The quotient of two doubles may
 * be rounded up to the next integer, and then the floor of the rounded quotient is one
 * too large: 1.0 / 0.1 is 10, but 0.1 goes 9 times into 1. fmod is exact. */
#include "base/base.h"

#include <math.h>

double floor_modulo(double a, double b) {
    double rest = fmod(a, b);
    if (rest == 0) return copysign(0, b);
    return (rest < 0) != (b < 0) ? rest + b : rest;
}

double floor_divide(double a, double b) {
    if (b == 0) return a / b;
    double rest = fmod(a, b), whole = nearbyint((a - rest) / b);
    if (rest != 0 && (rest < 0) != (b < 0)) whole -= 1;
    return whole == 0 ? copysign(0, a / b) : whole;
}
