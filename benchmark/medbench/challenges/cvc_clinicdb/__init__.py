"""The challenge cvc_clinicdb."""
