"""Card verification values from psec (PyPI, MIT), one per input line.

A line is: CVK pair in hex, PAN, expiry YYMM, service code; separated by spaces.
"""

import sys
import warnings

try:
    from psec.cvv import generate_cvv
except ImportError:
    sys.exit("the CVV oracle needs the Python package psec: pip install psec")

# The cryptography package warns about DES, which the algorithm under test is made of.
warnings.simplefilter("ignore")

for line in sys.stdin:
    cvk, pan, expiry, service_code = line.split()
    print(generate_cvv(bytes.fromhex(cvk), pan, expiry, service_code))
