"""The challenge cvc_clinicdb_boxes."""
