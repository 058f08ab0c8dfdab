/** Numbers of the integer registers that the calling convention gives a role. */
export const REG_RA = 1;
export const REG_SP = 2;
export const REG_TP = 4;
export const REG_A0 = 10;
export const REG_A7 = 17;
